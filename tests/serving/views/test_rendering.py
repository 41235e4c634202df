"""Numbers, names and times as the pages show them; templates escape what comes from outside."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from covid_xray.serving.views import languages, rendering
from covid_xray.serving.views.rendering import display_name, figure, foreign, percent, render_bare, sentence, with_code

WEB = Path(rendering.__file__).parents[1] / "web"
TEMPLATES = sorted((WEB / "templates").glob("*.html"))


@pytest.mark.parametrize(
    ("share", "shown"),
    [
        (0.914, "91.4 %"),
        (0.0, "0.0 %"),
        (1.0, "100.0 %"),
        (1e-6, "< 0.1 %"),
        (0.99999, "> 99.9 %"),
        (0.9994, "99.9 %"),
        (None, "no number"),
        (float("nan"), "no number"),
    ],
)
def test_percent_never_rounds_doubt_away(share: float | None, shown: str) -> None:
    assert percent(share) == shown


def test_figures_counts_names_sentences() -> None:
    assert (figure(0.8426), figure(None)) == ("0.843", "not defined")
    assert (display_name("covid"), display_name("pneumothorax")) == ("COVID-19", "pneumothorax")
    assert (sentence("looks blank"), sentence("So it is.")) == ("Looks blank.", "So it is.")


def test_what_comes_from_outside_is_text() -> None:
    facts = {"status": 404, "title": "<script>alert(1)</script>", "advice": "", "detail": '"><img src=x>', "code": ""}
    page = render_bare("error.html", facts)
    assert "<script>alert" not in page
    assert "<img src=x" not in page


def test_commands_are_code_and_foreign_sentences_are_marked() -> None:
    assert with_code("Use `a <b>`.") == "Use <code>a &lt;b&gt;</code>."
    assert with_code("one ` alone") == "one ` alone"
    assert foreign("Nobody knows it.") == "Nobody knows it."
    languages.use("de")
    try:
        assert foreign("The current password is wrong.") == "Das jetzige Passwort ist falsch."
        assert foreign("Nobody knows `it`.") == '<bdi lang="en" dir="ltr">Nobody knows <code>it</code>.</bdi>'
    finally:
        languages.use("en")


def test_a_constant_in_a_template_is_translated_for_each_request() -> None:
    template = rendering._TEMPLATES.env.from_string('{{ "other" | display_name }}')
    assert template.render() == "Other finding, or none of these"
    languages.use("de")
    try:
        assert template.render() == "Anderer Befund oder nichts davon"
    finally:
        languages.use("en")


class Inline(HTMLParser):
    """Collects what the content security policy would forbid, and what would be fetched from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "style" or (tag == "script" and "src" not in given):
            self.found.append(tag)
        self.found += [name for name in given if name == "style" or name.startswith(("on", "hx-on"))]
        links = (given.get(name) or "" for name in ("src", "href", "action", "hx-get", "hx-post"))
        self.found += [link for link in links if link.startswith(("http:", "https:", "//"))]


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_no_template_holds_a_script_a_style_or_an_address_elsewhere(path: Path) -> None:
    parser = Inline()
    parser.feed(path.read_text(encoding="utf-8"))
    assert not parser.found


def test_styles_and_scripts_fetch_nothing_from_elsewhere() -> None:
    own = [*(WEB / "static").glob("*.css"), *(WEB / "static").glob("*.js")]
    assert len(own) >= 7
    assert not [path.name for path in own if re.search(r"https?:|@import", path.read_text(encoding="utf-8"))]


def test_what_is_not_ours_has_its_licence_beside_it() -> None:
    folder = WEB / "static" / "htmx"
    assert "Zero-Clause BSD" in (folder / "LICENSE").read_text(encoding="utf-8")
    assert (folder / "htmx.min.js").stat().st_size < 60_000
