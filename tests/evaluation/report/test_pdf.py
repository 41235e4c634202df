"""The document: every page says what it is for, its words are those of the page, hostile names stay text."""

import numpy as np
import pypdfium2
import pytest

from covid_xray.evaluation.report.cases import Case
from covid_xray.evaluation.report.html import sections
from covid_xray.evaluation.report.pdf import report_pdf
from covid_xray.evaluation.report.sections import Bullets, Code, Fold, Pairs, Section, Table, Text, cells
from support.reports import EVIL, results

METRICS = {"title": "A study", "model": {"name": "net", "version": "1", "sha256": "ab" * 32}}
__all__ = ["results"]


def pages(data: bytes) -> list[str]:
    document = pypdfium2.PdfDocument(data)
    try:
        return [page.get_textpage().get_text_range() for page in document]
    finally:
        document.close()


def words(data: bytes) -> str:
    return " ".join(" ".join(pages(data)).split())


def only(*blocks) -> bytes:
    return report_pdf(METRICS, parts=[Section("one", "One", blocks)])


@pytest.fixture(scope="module")
def whole(results):
    metrics, drawn = results
    case = Case("a.png", "covid", "normal", 0.91, np.zeros((8, 16, 3), dtype=np.uint8), evidence=False)
    parts = sections(metrics, drawn=drawn, cases=[case], text="precision  recall", facts={})
    return metrics, parts, report_pdf(metrics, parts=parts)


def test_every_page_has_its_number_and_says_what_it_is_for(whole):
    found = pages(whole[2])
    assert len(found) > 3
    for number, text in enumerate(found, start=1):
        assert f"page {number} of {len(found)}" in text
        assert "Research use, not for diagnosis" in text


def test_it_says_what_the_page_says(whole):
    metrics, parts, data = whole
    text = words(data)
    assert "tested on 60 radiographs of 30 patients" in text
    for part in parts:
        assert part.title in text
    assert metrics["model"]["sha256"] in text
    assert "true covid, said normal 91.0" in text


def test_the_outline_leads_to_every_section(whole):
    document = pypdfium2.PdfDocument(whole[2])
    titles = [entry.get_title() for entry in document.get_toc()]
    document.close()
    assert titles == [part.title for part in whole[1]]


def test_the_same_content_gives_the_same_bytes(whole):
    assert report_pdf(whole[0], parts=whole[1]) == whole[2]


def test_hostile_text_is_shown_as_text():
    table = Table(EVIL, (EVIL, "b"), (cells(EVIL, EVIL),), words=True)
    blocks = (Text(EVIL), Bullets((EVIL,), EVIL, beware=True), table, Pairs(((EVIL, EVIL),)), Code(EVIL),
              Fold(EVIL, (Text(EVIL, "alert"),)))  # fmt: skip
    data = report_pdf({**METRICS, "title": EVIL}, parts=[Section("one", EVIL, blocks)])
    assert words(data).count("<script>") >= 10


def test_names_that_are_no_characters_and_control_signs_do_not_break_it():
    name = b"\xff\xfe.png".decode("utf-8", errors="surrogateescape")
    assert "a b" in words(only(Text(f"a\x00b {name}")))
