"""The page loads nothing, runs nothing, and shows hostile text as text; the model card stays Markdown."""

import itertools
import re
from pathlib import Path

import numpy as np

from covid_xray.evaluation.report import html
from covid_xray.evaluation.report.cases import Case
from covid_xray.evaluation.report.html import report_html, sections
from covid_xray.evaluation.report.markdown import model_card
from covid_xray.evaluation.report.sections import markdown
from support.reports import EVIL, Page, results

__all__ = ["results"]


def page(metrics, drawn, *, cases=(), text="report", facts=None) -> str:
    return report_html(metrics, parts=sections(metrics, drawn=drawn, cases=cases, text=text, facts=facts or {}))


def outside(found: Page) -> list[str]:
    """Addresses that are not on the page itself."""
    return [address for address in found.addresses if not address.startswith("#")]


def case(image: str) -> Case:
    return Case(image, "covid", "normal", 0.91, np.zeros((8, 16, 3), dtype=np.uint8), evidence=False)


def test_the_page_loads_nothing_from_outside_and_runs_no_script(results):
    metrics, drawn = results
    text = page(metrics, drawn, cases=[case("a.png")])
    found = Page(text)
    assert len(outside(found)) == 3  # one chart for light and dark, one case
    assert all(address.startswith("data:image/") for address in outside(found))
    assert not {"script", "link", "iframe", "object", "embed"} & set(found.tags)
    assert not [name for name in found.attributes if name.startswith("on")]
    assert "url(" not in text
    assert "@import" not in text
    assert not re.findall(r"https?://", text)
    assert "default-src 'none'" in text
    assert found.unbalanced == []
    assert found.open == []


def test_the_summary_says_what_was_tested_and_how_well(results):
    metrics, drawn = results
    words = " ".join(Page(page(metrics, drawn)).words.split())
    assert "tested on 60 radiographs of 30 patients (20 covid, 20 normal, 20 virus)" in words
    assert "Macro-F1 1.000" in words
    assert "Worst source" in words
    assert "not measured run covid-xray baselines" in words
    assert "Research use, not for diagnosis" in words
    assert "A heat map is not a localisation" in words
    assert metrics["model"]["sha256"] in words
    assert "images that were to be scored got a score" in words


def test_hostile_text_is_shown_as_text_everywhere(results):
    metrics, drawn = results
    figures = {name.replace("covid", EVIL): value for name, value in metrics["figures"].items()}
    by_source = {EVIL: next(iter(metrics["by_source"].values()))}
    by_source[EVIL]["labels"][EVIL] = 3
    score = {"value": 0.5, "ci_low": 0.4, "ci_high": 0.6}
    baseline = {"name": EVIL, "sees": EVIL, "without_lungs": True, "figures": {"macro_f1": score}}
    evil = {
        **metrics, "title": EVIL, "banner": EVIL, "confounded": EVIL, "warnings": [EVIL], "figures": figures,
        "classes": [EVIL, "normal", "virus"], "by_source": by_source,
        "labels": {EVIL: {"images": 20, "patients": 3}},
        "baselines": {"rows": [baseline], "best": baseline, "images": 9},
        "model": {"name": EVIL, "version": EVIL, "sha256": EVIL},
        "failures": [{"image": EVIL, "label": EVIL, "code": EVIL, "message": EVIL}],
        "quarantined": [{"image": EVIL, "code": EVIL, "reason": EVIL}],
        "worst_source": {"name": EVIL, "value": 0.5, "ci_low": 0.4, "ci_high": 0.6, "mean": 0.7, "groups": 2},
    }  # fmt: skip
    group = {"n_images": 30, "n_patients": 30, "labels": {EVIL: 30}, "figures": {}}
    ends = {"lowest": {"group": EVIL, "value": 0.1}, "highest": {"group": EVIL, "value": 0.3}}
    gap = {"figure": f"sensitivity/{EVIL}", "value": 0.2, "ci_low": 0.1, "ci_high": 0.3, **ends}
    attribute = {"title": EVIL, "not_stated": 0, "groups": {EVIL: group}, "gap": gap}
    evil["subgroups"] = {"smallest": 20, "attributes": {**metrics["subgroups"]["attributes"], "view": attribute}}
    facts = {"input": {"height": EVIL, "width": 1, "resize": EVIL}, "temperature": EVIL,
             "training_data": {"images": {EVIL: {EVIL: 3}}, "source": {EVIL: 3}, "license": {EVIL: 3},
                               "fingerprint": EVIL}}  # fmt: skip
    text = page(evil, drawn, cases=[case(EVIL)], text=EVIL, facts=facts)
    found = Page(text)
    assert "script" not in found.tags
    assert "onerror" not in found.attributes
    assert all(address.startswith("data:image/") for address in outside(found))
    assert found.unbalanced == []
    assert found.words.count(EVIL) >= 20
    assert "49" not in found.words.replace(EVIL, "").split()  # a template in a name is not run


def test_file_names_that_are_no_unicode_do_not_break_the_page(results):
    metrics, drawn = results
    name = b"\xff\xfe.png".decode("utf-8", errors="surrogateescape")
    text = page(metrics, drawn, cases=[case(name)])
    assert text.encode("utf-8")


def test_banners_are_red_only_when_there_is_something_to_say(results):
    metrics, drawn = results
    assert 'role="alert"' not in page({**metrics, "confounded": ""}, drawn)
    assert page({**metrics, "banner": "Phantoms prove nothing", "confounded": "V"}, drawn).count('role="alert"') == 2


def test_the_model_card_holds_every_figure_and_escapes_markup(results):
    metrics, _ = results
    text = model_card(
        {**metrics, "title": "a | b\n# c <script>"}, facts={"training_data": {"images": {"train": {"covid": 7}}}}
    )
    for name, figure in metrics["figures"].items():
        assert f"| {markdown(name)} | {figure['value']:.3f} |" in text
    assert "a \\| b \\# c \\<script\\>" in text
    assert "- train: 7 covid" in text
    assert [line for line in text.splitlines() if line.startswith("# ")] == ["# Model card: brightness 1"]
    tables = re.findall(r"(?:^\|.*\n)+", text, flags=re.M)
    assert len(tables) == 3  # figures, sources, subgroups
    assert all(len({len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}) == 1 for table in tables)


def test_contents_lead_to_every_section_and_headings_go_down_one_level_at_a_time(results):
    metrics, drawn = results
    text = page(metrics, drawn, cases=[case("a.png")])
    targets = re.findall(r'<li><a href="#([a-z]+)">', text)
    assert targets == re.findall(r'<section id="([a-z]+)"', text)
    assert targets[0] == "summary"
    assert len(set(targets)) == len(targets) >= 14
    levels = [int(tag[1]) for tag in Page(text).tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))


def test_every_picture_says_in_words_what_it_shows_and_every_table_is_named(results):
    metrics, drawn = results
    text = page(metrics, drawn, cases=[case("a.png")])
    assert all(len(alt) > 20 for alt in re.findall(r'<img [^>]*alt="([^"]*)"', text))
    assert text.count("<img ") == len(re.findall(r'<img [^>]*alt="', text))
    assert text.count("<table") == text.count("<caption>") == text.count('role="region"')


def test_colours_keep_the_contrast_that_readers_need():
    """WCAG 2 level AA, 4.5 to 1, for every ink on every paper, light and dark."""
    style = (Path(html.__file__).parent / "templates" / "report.css").read_text()
    parts = style.split("* {")[0].split("@media")
    light, dark = (dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", part)) for part in parts)
    for theme in (light, dark):
        pairs = [(ink, paper) for ink in ("ink", "soft", "accent", "red", "good") for paper in ("paper", "card")]
        for ink, paper in [*pairs, ("red", "red-paper"), ("amber", "amber-paper"), ("amber", "paper")]:
            assert contrast(theme[ink], theme[paper]) >= 4.5, (ink, paper)


def contrast(one: str, other: str) -> float:
    def light(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((light(one), light(other)))
    return (high + 0.05) / (low + 0.05)
