"""The structured report says what the finding says, in codes and numbers, and points at image and region."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from covid_xray.inference.predictor import Predictor
from covid_xray.inference.site.site_file import read_site
from covid_xray.pacs.results.probability import round_to
from covid_xray.pacs.results.result_objects import ResultBuilder, ResultObjects
from support import studies
from support.chests import chest
from support.sites import make_site_file

MADE = ("sc", "sr", "seg", "gsps")
PIXELS = chest(height=160, width=140, body=255, lung=85)
# Keeps classes down to a probability of 0.01, so that a picture between two classes has a set of two.
CONFORMAL = {"method": "lac", "coverage": 0.9, "quantiles": {"lac": {"0.9": 0.99}}}


def items(dataset: Dataset) -> Iterator[Dataset]:
    for item in dataset.get("ContentSequence", []):
        yield item
        yield from items(item)


def named(dataset: Dataset, meaning: str) -> list[Dataset]:
    return [item for item in items(dataset) if item.get("ConceptNameCodeSequence")
            and item.ConceptNameCodeSequence[0].CodeMeaning == meaning]  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> ResultObjects:
    bundle = studies.make_lung_bundle(tmp_path_factory.mktemp("b") / "bundle")
    return ResultBuilder(Predictor(bundle), share=0.25).build(studies.film(PIXELS))


def opened(results: ResultObjects, kind: str) -> pydicom.FileDataset:
    return pydicom.dcmread(io.BytesIO(results.objects[kind]))


def test_the_finding_is_a_code_and_each_probability_a_number(made: ResultObjects) -> None:
    report = opened(made, "sr")
    finding = named(report, "Finding")[0].ConceptCodeSequence[0]
    assert (finding.CodeValue, finding.CodingSchemeDesignator, finding.CodeMeaning) == ("840539006", "SCT", "COVID-19")
    for name, meaning in (("covid", "COVID-19"), ("normal", "normal"), ("virus", "Viral pneumonia")):
        value = named(report, f"Calibrated probability of {meaning}")[0].MeasuredValueSequence[0]
        assert float(value.NumericValue) == round_to(made.finding.probabilities[name], step=0.01)
        assert value.MeasurementUnitsCodeSequence[0].CodeValue == "1"


def test_the_network_is_named_with_version_and_hash(made: ResultObjects) -> None:
    report = opened(made, "sr")
    assert named(report, "Algorithm Name")[0].TextValue == "small"
    assert named(report, "Algorithm Version")[0].TextValue == "1"
    assert f"model.onnx SHA-256 {made.finding.model.sha256}" in [
        item.TextValue for item in named(report, "Algorithm Parameters")
    ]
    assert named(report, "Comment")[-1].TextValue == "research use, not for diagnosis"
    assert (report.VerificationFlag, report.PreliminaryFlag) == ("UNVERIFIED", "PRELIMINARY")


def test_it_refers_to_the_image_and_to_the_region(made: ResultObjects) -> None:
    report, region = opened(made, "sr"), opened(made, "seg")
    original = pydicom.dcmread(io.BytesIO(studies.film(PIXELS)))
    assert named(report, "Source of Measurement")[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID == (
        original.SOPInstanceUID
    )
    segment = named(report, "Referenced Segmentation Frame")[0].ReferencedSOPSequence[0]
    assert (segment.ReferencedSOPInstanceUID, segment.ReferencedSegmentNumber) == (region.SOPInstanceUID, 1)
    evidence = [*report.get("CurrentRequestedProcedureEvidenceSequence", [])]
    evidence += [*report.get("PertinentOtherEvidenceSequence", [])]
    listed = {
        str(image.ReferencedSOPInstanceUID)
        for study in evidence
        for series in study.ReferencedSeriesSequence
        for image in series.ReferencedSOPSequence
    }
    picture = opened(made, "sc")
    assert listed == {str(one.SOPInstanceUID) for one in (original, region, picture)}
    shown = named(report, "Picture of the finding")[0].ReferencedSOPSequence[0]
    assert (shown.ReferencedSOPClassUID, shown.ReferencedSOPInstanceUID) == (
        picture.SOPClassUID,
        picture.SOPInstanceUID,
    )


def objects_of(folder: Path, pixels: np.ndarray, **options: Any) -> ResultObjects:
    bundle = studies.make_lung_bundle(folder / "bundle", **options)
    return ResultBuilder(Predictor(bundle), kinds=MADE).build(studies.film(pixels))


def texts(dataset: Dataset) -> str:
    """All text of a data set and its items."""
    return "\n".join(str(element.value) for element in dataset.iterall() if element.VR not in ("OB", "OW", "SQ", "UI"))


def test_cannot_say_shows_reasons_and_no_class(tmp_path: Path) -> None:
    results = objects_of(tmp_path, np.full((90, 80), 170, np.uint8), conformal=CONFORMAL)
    assert results.finding.label == "cannot say"
    assert list(results.objects) == ["sc", "sr", "gsps"]
    report = opened(results, "sr")
    assert named(report, "Finding")[0].ConceptCodeSequence[0].CodeMeaning == "Indeterminate"
    assert [item.TextValue for item in named(report, "Reason why nothing can be said")] == list(results.finding.reasons)
    assert not [item for item in items(report) if item.ValueType == "NUM"]
    assert not named(report, "Member of the prediction set")
    said = [item.TextValue for item in named(report, "Comment")]
    scope = "looks only for signs of COVID-19 and viral pneumonia"
    assert said[-3:] == [scope, "not checked at this hospital", "research use, not for diagnosis"]
    for kind in results.objects:
        words = texts(opened(results, kind))
        for reason in results.finding.reasons:
            words = words.replace(reason, "")
        assert not [line for line in words.splitlines() if "%" in line or line.startswith(("covid:", "Heat map of"))]
    legend = opened(results, "gsps").GraphicAnnotationSequence[0]
    assert "GraphicObjectSequence" not in legend
    assert legend.TextObjectSequence[0].UnformattedTextValue.startswith("cannot say: ")


def test_normal_says_what_was_looked_for_and_marks_nothing(tmp_path: Path) -> None:
    results = objects_of(tmp_path, 255 - PIXELS)
    assert results.finding.label == "normal"
    assert list(results.objects) == ["sc", "sr", "gsps"]
    report = opened(results, "sr")
    finding = named(report, "Finding")[0].ConceptCodeSequence[0]
    assert (finding.CodeValue, finding.CodingSchemeDesignator) == ("no-covid-virus", "99COVIDXRAY")
    assert finding.CodeMeaning == "No sign of COVID-19 or viral pneumonia found"
    assert "17621005" not in texts(report)
    assert "looks only for signs of COVID-19 and viral pneumonia" in texts(report)


def test_without_a_region_there_is_one_group(tmp_path: Path) -> None:
    bundle = studies.make_lung_bundle(tmp_path / "bundle")
    results = ResultBuilder(Predictor(bundle), kinds=["sr"]).build(studies.film(PIXELS))
    assert list(results.objects) == ["sr"]
    assert named(opened(results, "sr"), "Referenced Segmentation Frame") == []


def test_it_says_whether_the_network_was_checked_at_this_hospital(tmp_path: Path, made: ResultObjects) -> None:
    """And the objects of a checked network are others than those of before, so that an archive takes both."""
    assert "not checked at this hospital" in [item.TextValue for item in named(opened(made, "sr"), "Comment")]
    bundle = studies.make_lung_bundle(tmp_path / "bundle")
    site = read_site(make_site_file(tmp_path / "site", bundle))
    there = ResultBuilder(Predictor(bundle, site=site), share=0.25).build(studies.film(PIXELS))
    comments = [item.TextValue for item in named(opened(there, "sr"), "Comment")]
    assert "checked at St. Elsewhere: fit" in comments
    assert opened(there, "sr").SOPInstanceUID != opened(made, "sr").SOPInstanceUID
