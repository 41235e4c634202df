"""Tables of the PDF repeat their head over pages and fit their width."""

import pypdfium2

from covid_xray.evaluation.report.pdf import report_pdf
from covid_xray.evaluation.report.sections import Section, Table, Text, cells

METRICS = {"title": "A study", "model": {"name": "net", "version": "1", "sha256": "ab" * 32}}


def pages(data: bytes) -> list[str]:
    document = pypdfium2.PdfDocument(data)
    try:
        return [page.get_textpage().get_text_range() for page in document]
    finally:
        document.close()


def only(*blocks) -> bytes:
    return report_pdf(METRICS, parts=[Section("one", "One", blocks)])


def test_a_long_table_repeats_its_head_and_starts_where_it_is_named():
    rows = tuple(cells(f"row {i}", "x" * 30) for i in range(150))
    found = pages(only(Text("before"), Table("Long", ("first column", "second"), rows)))
    assert len(found) > 2
    assert all("first column" in " ".join(text.split()) for text in found)
    assert "row 0" in found[0]
    assert all(f"row {i}" in " ".join(found) for i in range(150))


def test_a_table_wider_than_the_page_is_squeezed_into_it():
    head = tuple(f"column {i}" for i in range(14))
    rows = (cells(*[f"{i}.123 to {i}.456" for i in range(14)]),)
    document = pypdfium2.PdfDocument(only(Table("Wide", head, rows)))
    page = document[0].get_textpage()
    right = max(page.get_charbox(i)[2] for i in range(page.count_chars()))
    width = document[0].get_width()
    document.close()
    assert right <= width - 40
