"""Build the report as a PDF: A4, page numbers, "research use" on every page.

The fonts (DejaVu, from matplotlib) are embedded. The same content gives the same bytes.
"""

import io
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from PIL import Image as Pillow
from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import (
    BaseDocTemplate,
    CondPageBreak,
    Flowable,
    Frame,
    Image,
    ListFlowable,
    ListItem,
    PageTemplate,
    Paragraph,
    Spacer,
    TableStyle,
    XPreformatted,
)
from reportlab.platypus import Table as Grid

from covid_xray.evaluation.report.figures import LIGHT, render
from covid_xray.evaluation.report.pdf_table import (
    BOXES,
    CARD,
    INK,
    LINE,
    MARGIN,
    MARKS,
    SOFT,
    WIDTH,
    escaped,
    escaped_lines,
    one_line,
    register_fonts,
    style,
    table,
)
from covid_xray.evaluation.report.sections import (
    Block,
    Bullets,
    Cards,
    Cases,
    Charts,
    Code,
    Facts,
    Fold,
    Pairs,
    Section,
    Table,
    Text,
    percent,
)

NOTICE = "Research use, not for diagnosis"
TOP, BOTTOM = 17 * mm, 18 * mm
DPI = 288  # of charts: twice that of the page, so that print is sharp


def report_pdf(metrics: Facts, *, parts: Sequence[Section], kind: str = "Evaluation report") -> bytes:
    """Return the document from `title` and `model` of metrics.json and the result of `html.sections`."""
    register_fonts()
    stream = io.BytesIO()
    title = one_line(metrics["title"])
    document = BaseDocTemplate(
        stream, pagesize=A4, leftMargin=MARGIN, rightMargin=MARGIN, topMargin=TOP, bottomMargin=BOTTOM,
        title=title, subject=NOTICE, author="covid-xray", lang="en", invariant=1,
    )  # fmt: skip
    frame = Frame(MARGIN, BOTTOM, WIDTH, A4[1] - TOP - BOTTOM, 0, 0, 0, 0)
    document.addPageTemplates(PageTemplate("page", [frame]))
    model = metrics["model"]
    story: list[Flowable] = [
        Paragraph(f"{kind} · {NOTICE}", style("soft")),
        Paragraph(escaped(metrics["title"]), style("title")),
        Paragraph(escaped(f"Network {model['name']} {model['version']}, SHA-256 {model['sha256']}"), style("soft")),
    ]
    for part in parts:
        story += _section(part)
    document.build(story, canvasmaker=_numbered(title))
    return stream.getvalue()


class _Heading(Paragraph):
    """A heading that is also an entry of the outline and a link target."""

    def __init__(self, text: str, style: ParagraphStyle, *, key: str, title: str) -> None:
        super().__init__(text, style)
        self.key, self.title = key, title

    def draw(self) -> None:
        self.canv.bookmarkPage(self.key)
        self.canv.addOutlineEntry(self.title, self.key, 0)
        super().draw()


def _numbered(title: str) -> type[Canvas]:
    """Return a canvas that draws page footers at the end, when the number of pages is known."""

    class Numbered(Canvas):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            self.pages: list[dict[str, Any]] = []

        def showPage(self) -> None:  # noqa: N802 reportlab's name
            self.pages.append(dict(self.__dict__))
            self._startPage()

        def save(self) -> None:
            for number, state in enumerate(self.pages, start=1):
                self.__dict__.update(state)
                _foot(self, title, number, len(self.pages))
                super().showPage()
            super().save()

    return Numbered


def _foot(canvas: Canvas, title: str, number: int, count: int) -> None:
    canvas.setStrokeColor(LINE)
    canvas.line(MARGIN, BOTTOM - 4 * mm, A4[0] - MARGIN, BOTTOM - 4 * mm)
    canvas.setFillColor(SOFT)
    canvas.setFont("Sans-Bold", 7.5)
    canvas.drawString(MARGIN, BOTTOM - 8.5 * mm, f"{NOTICE}.")
    canvas.setFont("Sans", 7.5)
    canvas.drawRightString(A4[0] - MARGIN, BOTTOM - 8.5 * mm, f"page {number} of {count}")
    name = title if len(title) <= 70 else title[:69] + "…"
    canvas.drawCentredString(A4[0] / 2, BOTTOM - 8.5 * mm, name)


def _section(part: Section) -> Iterator[Flowable]:
    tall = isinstance(part.blocks[0], Table)  # which may stay in one piece, and its heading with it
    yield CondPageBreak((90 if tall else 45) * mm)
    yield _Heading(escaped(part.title), style("heading"), key=part.key, title=one_line(part.title))
    for block in part.blocks:
        yield from _block(block)


def _block(block: Block) -> Iterator[Flowable]:
    show: dict[type, Callable[[Any], Iterator[Flowable]]] = {
        Text: _paragraph, Bullets: _bullets, Table: table, Cards: _cards, Charts: _charts, Cases: _cases,
        Pairs: _pairs, Code: _code, Fold: _fold,
    }  # fmt: skip
    yield from show[type(block)](block)


def _paragraph(block: Text) -> Iterator[Flowable]:
    if block.tone == "alert":
        yield _box([Paragraph(escaped(block.text), style("strong", textColor=BOXES["alert"][1]))], "alert")
        return
    yield Paragraph(escaped(block.text), style(block.tone))


def _bullets(block: Bullets) -> Iterator[Flowable]:
    ink = {"textColor": BOXES["beware"][1]} if block.beware else {}
    items = [
        ListItem(Paragraph(escaped(item), style("plain", spaceAfter=1, **ink)), leftIndent=10) for item in block.items
    ]
    found: list[Flowable] = [Paragraph(escaped(block.title), style("strong", **ink))] if block.title else []
    found.append(ListFlowable(items, bulletType="bullet", bulletFontSize=6, bulletOffsetY=-2, leftIndent=10,
                              bulletColor=ink.get("textColor", INK)))  # fmt: skip
    if block.beware:
        yield _box(found, "beware")
    else:
        yield from found
        yield Spacer(0, 4)


def _cards(block: Cards) -> Iterator[Flowable]:
    fields = [
        [Paragraph(escaped(card.label), style("soft", spaceAfter=1)),
         Paragraph(escaped(card.value), style("word" if card.word else "number")),
         Paragraph(escaped(card.detail), style("soft", fontSize=7, leading=9))]
        for card in block.cards
    ]  # fmt: skip
    grid = Grid([fields], colWidths=[WIDTH / len(fields)] * len(fields))
    grid.setStyle(TableStyle([("BACKGROUND", (0, 0), (-1, -1), CARD), ("VALIGN", (0, 0), (-1, -1), "TOP"),
                              ("LINEAFTER", (0, 0), (-2, -1), 4, colors.white), ("TOPPADDING", (0, 0), (-1, -1), 6),
                              ("BOTTOMPADDING", (0, 0), (-1, -1), 7)]))  # fmt: skip
    yield grid
    yield Spacer(0, 7)


def _charts(block: Charts) -> Iterator[Flowable]:
    """Draw two charts side by side at twice the page resolution."""
    fields = []
    for picture in block.drawn:
        data = render(picture.chart, LIGHT, dpi=DPI)
        fields.append([Paragraph(escaped(picture.chart.title), style("caption")), _picture(data, WIDTH / 2 - 4 * mm)])
    yield from _grid(fields, columns=2)


def _cases(block: Cases) -> Iterator[Flowable]:
    fields = []
    for case in block.cases:
        word = "right" if case.right else "WRONG"
        colour = MARKS["good"] if case.right else MARKS["bad"]
        said = escaped(f"true {case.label}, said {case.predicted} {percent(case.probability)}")
        empty = "" if case.evidence else " (no evidence in the map)"
        file = f'<font size="5.5">{escaped(case.image)}</font>'
        caption = f'<font name="Sans-Bold" color="{colour}">{word}</font> {said}{empty}<br/>{file}'
        fields.append(
            [_picture(case.jpeg(), WIDTH / 3 - 4 * mm), Paragraph(caption, style("soft", fontSize=7, leading=9))]
        )
    yield from _grid(fields, columns=3)


def _grid(fields: list[list[Flowable]], *, columns: int) -> Iterator[Flowable]:
    for start in range(0, len(fields), columns):
        row = fields[start : start + columns]
        row += [[]] * (columns - len(row))
        grid = Grid([row], colWidths=[WIDTH / columns] * columns)
        grid.setStyle(TableStyle([("VALIGN", (0, 0), (-1, -1), "TOP"), ("LEFTPADDING", (0, 0), (-1, -1), 0)]))
        yield grid
    yield Spacer(0, 4)


def _picture(data: bytes, width: float) -> Image:
    with Pillow.open(io.BytesIO(data)) as image:
        columns, rows = image.size
    return Image(io.BytesIO(data), width=width, height=width * rows / columns)


def _pairs(block: Pairs) -> Iterator[Flowable]:
    rows = [[Paragraph(escaped(name), style("soft")), Paragraph(escaped(text), style("plain", fontSize=8, leading=11))]
            for name, text in block.rows]  # fmt: skip
    grid = Grid(rows, colWidths=[WIDTH * 0.22, WIDTH * 0.78])
    grid.setStyle(TableStyle([("VALIGN", (0, 0), (-1, -1), "TOP"), ("LEFTPADDING", (0, 0), (0, -1), 0),
                              ("TOPPADDING", (0, 0), (-1, -1), 0),
                              ("BOTTOMPADDING", (0, 0), (-1, -1), 0)]))  # fmt: skip
    yield grid
    yield Spacer(0, 5)


def _code(block: Code) -> Iterator[Flowable]:
    yield XPreformatted(escaped_lines(block.text), style("code"))


def _fold(block: Fold) -> Iterator[Flowable]:
    first, *rest = block.blocks
    if isinstance(first, Table):  # its title stays with it
        yield from table(first, title=block.title)
    else:
        yield CondPageBreak(60 * mm)
        yield Paragraph(escaped(block.title), style("strong"))
        rest = [first, *rest]
    for inner in rest:
        yield from _block(inner)


def _box(inside: list[Flowable], tone: str) -> Flowable:
    paper, edge = BOXES[tone]
    grid = Grid([[inside]], colWidths=[WIDTH], spaceBefore=3, spaceAfter=6)
    grid.setStyle(TableStyle([("BACKGROUND", (0, 0), (-1, -1), colors.HexColor(paper)),
                              ("LINEBEFORE", (0, 0), (0, -1), 3, colors.HexColor(edge)),
                              ("LEFTPADDING", (0, 0), (-1, -1), 8)]))  # fmt: skip
    return grid
