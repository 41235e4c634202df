"""Text in, text as reportlab takes it out: escaped, in embedded fonts, in the styles of the report."""

from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import matplotlib
from reportlab.lib import colors
from reportlab.lib.styles import ParagraphStyle
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont

from covid_xray.files import shown

FONTS = {"Sans": "DejaVuSans.ttf", "Sans-Bold": "DejaVuSans-Bold.ttf", "Mono": "DejaVuSansMono.ttf"}
INK, SOFT, LINE, CARD = (colors.HexColor(c) for c in ("#1c1e21", "#5b626b", "#d5d8dc", "#f4f5f7"))
MARKS = {"bad": "#b3161b", "good": "#00663f", "open": "#7a4b00"}
BOXES = {"alert": ("#fdeced", "#b3161b"), "beware": ("#fff5e0", "#7a4b00")}


def style(kind: str, **changes: Any) -> ParagraphStyle:
    """One of the looks of the report, with changes of its own."""
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
    """Text as reportlab reads it: no markup in it, one line."""
    return escape(one_line(value))


def kept(text: str) -> str:
    """Escaped, with its lines and spaces."""
    lines = ("".join(c for c in line if c.isprintable()) for line in shown(text).splitlines())
    return escape("\n".join(lines))


def one_line(value: object) -> str:
    """Nothing that cannot be printed; line breaks become spaces."""
    return "".join(c if c.isprintable() or c == "\N{NO-BREAK SPACE}" else " " for c in shown(value))


def register_fonts() -> None:
    """Make the fonts known to reportlab, once."""
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    known = set(pdfmetrics.getRegisteredFontNames())
    for name, file in FONTS.items():
        if name not in known:
            pdfmetrics.registerFont(TTFont(name, folder / file))
