"""Set fonts, styles and tables of the PDF report."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import matplotlib
from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.pdfmetrics import stringWidth
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.platypus import CondPageBreak, Flowable, KeepTogether, Paragraph, Spacer, TableStyle
from reportlab.platypus import Table as Grid

from covid_xray.evaluation.report.sections import Cell, Table
from covid_xray.files import shown

MARGIN = 17 * mm
WIDTH = A4[0] - 2 * MARGIN
SHORT = 12  # rows that are kept on one page
FONTS = {"Sans": "DejaVuSans.ttf", "Sans-Bold": "DejaVuSans-Bold.ttf", "Mono": "DejaVuSansMono.ttf"}
INK, SOFT, LINE, CARD = (colors.HexColor(c) for c in ("#1c1e21", "#5b626b", "#d5d8dc", "#f4f5f7"))
MARKS = {"bad": "#b3161b", "good": "#00663f", "open": "#7a4b00"}
BOXES = {"alert": ("#fdeced", "#b3161b"), "beware": ("#fff5e0", "#7a4b00")}


def table(block: Table, *, title: str = "") -> Iterator[Flowable]:
    """Yield the title and caption, and the table with its head repeated on each page."""
    small = 7.0 if len(block.head) <= 7 else 6.2
    rows: list[list[Any]] = [
        [Paragraph(escaped(name), _cell_style(small, "head", first=not place or block.words))
         for place, name in enumerate(block.head)]
    ]  # fmt: skip
    for row in block.rows:
        rows.append([_field(c, small, left=not i or block.words) for i, c in enumerate(row)])
    grid = Grid(rows, colWidths=_widths(block, small), repeatRows=1, hAlign="LEFT")
    looks = [
        ("LINEBELOW", (0, 0), (-1, 0), 0.8, SOFT), ("LINEBELOW", (0, 1), (-1, -1), 0.4, LINE),
        ("VALIGN", (0, 0), (-1, 0), "BOTTOM"), ("VALIGN", (0, 1), (-1, -1), "TOP"),
        ("LEFTPADDING", (0, 0), (-1, -1), 1.5), ("RIGHTPADDING", (0, 0), (-1, -1), 3.5),
        ("TOPPADDING", (0, 0), (-1, -1), 2), ("BOTTOMPADDING", (0, 0), (-1, -1), 2.5),
    ]  # fmt: skip
    grid.setStyle(TableStyle(looks))
    above = [Paragraph(escaped(title), style("strong"))] if title else []
    above.append(Paragraph(escaped(block.caption), style("caption")))
    if len(rows) <= SHORT:
        yield KeepTogether([*above, grid])
    else:
        yield CondPageBreak(50 * mm)
        yield from above
        yield grid
    yield Spacer(0, 6)


def _field(cell: Cell, size: float, *, left: bool) -> Paragraph:
    text = escaped(cell.text)
    if cell.mark in MARKS:
        text = f'<font name="Sans-Bold" color="{MARKS[cell.mark]}">{text}</font>'
    elif cell.mark == "strong":
        text = f'<font name="Sans-Bold">{text}</font>'
    if cell.small:
        lines = "<br/>".join(escaped(line) for line in cell.small.splitlines())
        text += f'<br/><font size="{size - 1.2}" color="#5b626b">{lines}</font>'
    return Paragraph(text, _cell_style(size, cell.mark, first=left))


def _cell_style(size: float, kind: str, *, first: bool) -> ParagraphStyle:
    return ParagraphStyle(
        f"cell {kind} {first} {size}", fontName="Sans-Bold" if kind == "head" else "Sans",
        fontSize=size, leading=size * 1.32,
        alignment=0 if first else 2, textColor=SOFT if kind == "head" else INK, leftIndent=8 if kind == "inner" else 0,
        splitLongWords=1,
    )  # fmt: skip


def _widths(block: Table, size: float) -> list[float]:
    """Fit the columns to their longest line; a table that is too wide narrows columns whose text can wrap."""
    most = WIDTH * (0.6 if block.words else 0.3)
    least, asked = [], []
    for place, name in enumerate(block.head):
        column = [row[place] for row in block.rows if place < len(row)]
        texts = [(line, size) for c in column for line in (c.text, *c.small.splitlines())]
        words = [(word, size) for text, _ in texts for word in text.split()] + [(word, size) for word in name.split()]
        space = 16 if any(c.mark == "inner" for c in column) else 7
        least.append(min(WIDTH / 4, space + max((stringWidth(w, "Sans-Bold", s) for w, s in words), default=0)))
        asked.append(min(most, space + max((stringWidth(t, "Sans-Bold", s) for t, s in texts), default=0)))
    asked = [max(pair) for pair in zip(least, asked, strict=True)]
    over = sum(asked) - WIDTH
    if over <= 0:
        return asked
    room = sum(asked) - sum(least)
    if room < over:
        return [part * WIDTH / sum(least) for part in least]
    return [want - over * (want - need) / room for need, want in zip(least, asked, strict=True)]


def style(kind: str, **changes: Any) -> ParagraphStyle:
    """Return one of the paragraph styles of the report, with changes."""
    looks: dict[str, dict[str, Any]] = {
        "plain": {}, "soft": {"fontSize": 7.5, "leading": 10, "textColor": SOFT},
        "strong": {"fontName": "Sans-Bold"}, "code": {"fontName": "Mono", "fontSize": 7, "leading": 9},
        "title": {"fontName": "Sans-Bold", "fontSize": 17, "leading": 22},
        "heading": {"fontName": "Sans-Bold", "fontSize": 12.5, "leading": 16, "spaceBefore": 12, "spaceAfter": 6,
                    "keepWithNext": 1},
        "caption": {"fontSize": 8, "leading": 11, "textColor": SOFT, "spaceAfter": 2},
        "number": {"fontName": "Sans-Bold", "fontSize": 16, "leading": 20},
        "word": {"fontName": "Sans-Bold", "fontSize": 11, "leading": 20},
    }  # fmt: skip
    normal = {
        "fontName": "Sans",
        "fontSize": 8.6,
        "leading": 12.2,
        "textColor": INK,
        "spaceAfter": 5,
        "splitLongWords": 1,
    }
    return ParagraphStyle(kind, **{**normal, **looks[kind], **changes})


def escaped(value: object) -> str:
    """Return one line of text without markup for reportlab."""
    return escape(one_line(value))


def escaped_lines(text: str) -> str:
    """Return escaped text with its lines and spaces."""
    lines = ("".join(c for c in line if c.isprintable()) for line in shown(text).splitlines())
    return escape("\n".join(lines))


def one_line(value: object) -> str:
    """Replace unprintable characters and line breaks by spaces."""
    return "".join(c if c.isprintable() or c == "\N{NO-BREAK SPACE}" else " " for c in shown(value))


def register_fonts() -> None:
    """Register the fonts with reportlab, once."""
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    known = set(pdfmetrics.getRegisteredFontNames())
    for name, file in FONTS.items():
        if name not in known:
            pdfmetrics.registerFont(TTFont(name, folder / file))
