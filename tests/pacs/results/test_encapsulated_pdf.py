"""The Encapsulated PDF: sound, with the words of the finding, the same bytes each time."""

import io
from dataclasses import replace
from pathlib import Path

import pydicom
import pypdfium2

from covid_xray.inference.predictor import Predictor
from covid_xray.pacs.results.result_objects import ResultBuilder
from support import studies
from support.chests import chest

PIXELS = chest(height=160, width=140, body=255, lung=85)


def text_of(data: bytes) -> str:
    dataset = pydicom.dcmread(io.BytesIO(data))
    assert dataset.MIMETypeOfEncapsulatedDocument == "application/pdf"
    page = pypdfium2.PdfDocument(dataset.EncapsulatedDocument[: dataset.EncapsulatedDocumentLength])[0]
    return str(page.get_textpage().get_text_range())


def test_it_is_sound_and_says_what_the_other_objects_say(tmp_path: Path) -> None:
    studies.require("dciodvfy")
    builder = ResultBuilder(Predictor(studies.make_lung_bundle(tmp_path / "bundle")), kinds=["pdf"], share=0.3)
    image = builder.load(studies.film(PIXELS))
    finding = builder.predictor.answers([""], [image.view], class_maps=True)[0]
    made = builder.build_objects(image, finding).objects
    assert list(made) == ["pdf"]
    assert studies.errors_of(made["pdf"], tmp_path) == []
    assert studies.broken_rules(made["pdf"]) == {}
    words = text_of(made["pdf"])
    for line in ("COVID-19: about 98%", "looks only for signs of", "not checked at this hospital", "not for diagnosis"):
        assert line in words
    assert builder.build_objects(image, finding).objects == made
    unsure = text_of(
        builder.build_objects(image, replace(finding, label="cannot say", reasons=("odd",))).objects["pdf"]
    )
    assert "cannot say: odd" in unsure
    assert "%" not in unsure
    assert "probability" not in unsure
