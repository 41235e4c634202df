"""The printed report: what it says can be read out of it again, whatever characters names and notes hold."""

from pathlib import Path

import pypdfium2

from support.bundles import grey
from support.drawing import png
from support.servers import client, upload

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
    assert text.count("research use, not for diagnosis") >= 2
    for expected in (
        study["id"],
        "COVID-19",
        "Input not checked",
        "Not checked at this hospital",
        "100.0%",
        "<b>Ünï & ??",
        "correct, normal",
        "a < b & c",
        study["model"]["sha256"],
    ):
        assert expected in text, expected
    assert len(list(page.get_objects(filter=[pypdfium2.raw.FPDF_PAGEOBJ_IMAGE]))) == 2
