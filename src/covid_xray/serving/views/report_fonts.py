"""Choose the fonts of the PDF report for each piece of text, and bring right-to-left text into the order of drawing."""

from collections.abc import Callable
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

LATIN, ARABIC, CHINESE = "covid-xray-latin", "covid-xray-arabic", "covid-xray-chinese"
_DROID = Path("/usr/share/fonts/truetype/droid/DroidSansFallbackFull.ttf")  # Debian: fonts-droid-fallback
_BUILT_IN = "STSong-Light"  # of reportlab: not embedded, every PDF reader has its own
_ARABIC_BLOCKS = ((0x0600, 0x06FF), (0x0750, 0x077F), (0xFB50, 0xFDFF), (0xFE70, 0xFEFF))
_MARKS = str.maketrans("", "", "\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")  # of direction


@lru_cache(maxsize=1)
def register() -> tuple[str, str, str]:
    """Register the fonts with reportlab once and return their names: Latin, Arabic, Chinese."""
    import fontpkg
    from reportlab.pdfbase import pdfmetrics
    from reportlab.pdfbase.cidfonts import UnicodeCIDFont
    from reportlab.pdfbase.ttfonts import TTFont

    for name, family in ((LATIN, "noto-sans"), (ARABIC, "noto-sans-arabic")):
        pdfmetrics.registerFont(TTFont(name, str(fontpkg.path(family))))
        pdfmetrics.registerFontFamily(name, normal=name, bold=name, italic=name, boldItalic=name)
    if _DROID.is_file():
        pdfmetrics.registerFont(TTFont(CHINESE, str(_DROID)))
        return LATIN, ARABIC, CHINESE
    pdfmetrics.registerFont(UnicodeCIDFont(_BUILT_IN))
    return LATIN, ARABIC, _BUILT_IN


def markup(text: str, *, width: float, size: float, rtl: bool) -> str:
    """Write text for a paragraph of reportlab: escaped, each piece in a font that has its letters.

    Args:
        text: plain text; line breaks stay.
        width, size: of the paragraph and its font, in points; lines of right-to-left text are broken here.
        rtl: whether the text as a whole runs from right to left.
    """
    text = text.translate(_MARKS)
    lines = [line for part in text.split("\n") for line in (broken(part, width=width, size=size) if rtl else [part])]
    return "<br/>".join("".join(_piece(*run) for run in runs(visual(line, rtl=rtl))) for line in lines)


def runs(text: str) -> list[tuple[str, str]]:
    """Split text into pieces of one font each: (font, piece)."""
    return [(font, "".join(letters)) for font, letters in groupby(text, key=_font_of)]


def visual(text: str, *, rtl: bool) -> str:
    """Join Arabic letters and reverse what runs from right to left, as reportlab draws from left to right."""
    if not any(_is_arabic(letter) for letter in text):
        return text
    import arabic_reshaper
    from bidi.algorithm import get_display

    return str(get_display(arabic_reshaper.reshape(text), base_dir="R" if rtl else "L"))


def broken(text: str, *, width: float, size: float) -> list[str]:
    """Break text into lines at blanks, before it is reversed: afterwards its beginning is at the end."""
    lines: list[str] = []
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and text_width(visual(longer, rtl=True), size=size) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines or [""]


def text_width(text: str, *, size: float) -> float:
    """Measure a line in points."""
    from reportlab.pdfbase.pdfmetrics import stringWidth

    return float(sum(stringWidth(piece, font, size) for font, piece in runs(text)))


def draw_line(canvas: Any, text: str, *, at: tuple[float, float], size: float, align: str, rtl: bool) -> None:
    """Draw one line on a page, from (`left`) or up to (`right`) a point."""
    shown = visual(text.translate(_MARKS), rtl=rtl)
    x, y = at
    x -= text_width(shown, size=size) if align == "right" else 0
    for font, piece in runs(shown):
        canvas.setFont(font, size)
        canvas.drawString(x, y, piece)
        x += text_width(piece, size=size)


def _piece(font: str, text: str) -> str:
    return f'<font name="{font}">{escape(text)}</font>'


def _is_arabic(letter: str) -> bool:
    return any(low <= ord(letter) <= high for low, high in _ARABIC_BLOCKS)


def _font_of(letter: str) -> str:
    latin, arabic, chinese = register()
    if _is_arabic(letter):
        return arabic
    return latin if ord(letter) < 0x2E80 and _has(latin, letter) else chinese


@lru_cache(maxsize=1)
def _latin_letters() -> Callable[[int], bool]:
    from reportlab.pdfbase.pdfmetrics import getFont

    return getFont(LATIN).face.charToGlyph.__contains__


def _has(_font: str, letter: str) -> bool:
    return _latin_letters()(ord(letter))
