"""Every letter has a font that draws it, and right-to-left text is broken before it is reversed."""

import arabic_reshaper
import pytest

from covid_xray.serving.views import report_fonts

ARABIC = "لا يمكن القول"


def test_each_piece_is_in_a_font_of_its_script() -> None:
    latin, arabic, chinese = report_fonts.register()
    assert report_fonts.runs("a胸b") == [(latin, "a"), (chinese, "胸"), (latin, "b")]
    assert {font for font, _ in report_fonts.runs(ARABIC.replace(" ", ""))} == {arabic}


def test_arabic_letters_are_joined_and_run_from_right_to_left() -> None:
    shown = report_fonts.visual(ARABIC, rtl=True)
    assert shown == arabic_reshaper.reshape(ARABIC)[::-1]
    assert report_fonts.visual("plain", rtl=True) == "plain"


def test_lines_are_broken_in_the_order_of_reading() -> None:
    lines = report_fonts.broken(f"{ARABIC} {ARABIC}", width=40, size=10)
    assert len(lines) > 1
    assert " ".join(lines) == f"{ARABIC} {ARABIC}"
    assert all(report_fonts.text_width(report_fonts.visual(line, rtl=True), size=10) <= 40 for line in lines)


@pytest.mark.parametrize("text", ["<b>a & b</b>", "\u202eabc"])
def test_text_is_text(text: str) -> None:
    shown = report_fonts.markup(text, width=200, size=10, rtl=False)
    assert "<b>" not in shown
    assert "\u202e" not in shown
