"""The printed report: what it says can be read out of it again, whatever letters names and notes hold."""

from pathlib import Path

import pypdfium2

from support.bundles import grey
from support.drawing import png
from support.servers import client, upload

UNSURE = {"method": "lac", "coverage": 0.9, "quantiles": {"lac": {"0.9": 1.0}}}  # every class is kept
NAME = "<b>Ünï & 胸部 \u202e.png"


def test_a_report_says_what_the_study_says(tmp_path: Path) -> None:
    with client(tmp_path) as api:
        study = upload(api, png(grey("covid", height=200, width=160)), NAME)
        place = f"/api/v1/studies/{study['id']}"
        api.post(f"{place}/feedback", json={"verdict": "correct", "label": "normal", "note": "a < b & c\nsecond line"})
        data = api.get(f"{place}/report.pdf").content
        assert api.get(f"{place}/report.pdf").content == data
    document = pypdfium2.PdfDocument(data)
    assert len(document) == 1
    page = document[0]
    text = page.get_textpage().get_text_range()
    assert text.count("Research use, not for diagnosis.") >= 2
    for expected in (
        study["id"],
        "COVID-19",
        "Input not checked",
        "Not checked at this hospital",
        "> 99.9 %",
        "Other diseases get one of them",
        "<b>Ünï & 胸部",
        "corrects it to Normal",
        "a < b & c",
        study["model"]["sha256"],
    ):
        assert expected in text, expected
    assert len(list(page.get_objects(filter=[pypdfium2.raw.FPDF_PAGEOBJ_IMAGE]))) == 2


def test_cannot_say_has_no_class_no_percentage_and_no_heat_map(tmp_path: Path) -> None:
    with client(tmp_path, facts={"conformal": UNSURE}) as api:
        study = upload(api, png(grey("covid")))
        assert study["label"] == "cannot say"
        assert study["probabilities"]["covid"] > 0.5  # programs keep them
        document = pypdfium2.PdfDocument(api.get(f"/api/v1/studies/{study['id']}/report.pdf").content)
    text = document[0].get_textpage().get_text_range()
    assert "Read this radiograph as if the network had said nothing." in text
    assert "%" not in text
    assert "Heat map of" not in text
    assert len(list(document[0].get_objects(filter=[pypdfium2.raw.FPDF_PAGEOBJ_IMAGE]))) == 1
