"""The rejection note: sound, in the study of the withdrawn results, with the reason as its title."""

import io
from pathlib import Path

import pydicom
import pytest

from covid_xray.inference.predictor import Predictor
from covid_xray.pacs.results.references import ObjectReference, Withdrawal, read_evidence
from covid_xray.pacs.results.result_objects import ResultBuilder
from support import studies
from support.chests import chest

PIXELS = chest(height=160, width=140, body=255, lung=85)


@pytest.mark.parametrize(("merged", "code"), [(False, "113001"), (True, "113037")])
def test_it_names_what_is_withdrawn_and_why(merged: bool, code: str, tmp_path: Path) -> None:
    studies.require("dciodvfy")
    builder = ResultBuilder(Predictor(studies.make_lung_bundle(tmp_path / "bundle")), share=0.3)
    before = builder.build(studies.film(PIXELS)).objects
    old = tuple(ObjectReference.to(pydicom.dcmread(io.BytesIO(data))) for data in before.values())
    corrected = builder.load(studies.film(PIXELS, PatientID="P-2", StudyInstanceUID="1.2.3.4"))
    finding = builder.predictor.answers([""], [corrected.view], class_maps=True)[0]
    made = builder.build_objects(corrected, finding, withdrawal=Withdrawal(old, merged)).objects
    assert list(made) == ["ko", "sc", "sr", "seg"]
    assert studies.errors_of(made["ko"], tmp_path) == []
    assert studies.broken_rules(made["ko"]) == {}
    note = pydicom.dcmread(io.BytesIO(made["ko"]))
    assert (note.Modality, note.ConceptNameCodeSequence[0].CodeValue) == ("KO", code)
    assert (note.PatientID, note.StudyInstanceUID) == ("P-2", old[0].study)
    assert set(read_evidence(note.CurrentRequestedProcedureEvidenceSequence)) == set(old)
    again = builder.build_objects(corrected, finding, withdrawal=Withdrawal(old, merged)).objects
    assert again["ko"] == made["ko"]
