"""The verdicts follow from the facts: each one flips when its fact does, and nothing passes that nobody measured."""

import re

from covid_xray.evaluation.report.checklist import (
    SOURCES,
    assess,
    checklist_markdown,
    checklist_section,
    count_verdicts,
    items,
)
from covid_xray.evaluation.report.sections import Fold, Table
from support.known_run import FACTS, known, verdict

__all__ = ["known"]


def test_every_item_of_both_guidelines_is_there_once():
    claim = [item.number for item in items() if item.source == "CLAIM 2024"]
    tripod = [item.number for item in items() if item.source == "TRIPOD+AI"]
    assert claim == [str(n) for n in range(1, 45)]
    assert len(set(tripod)) == len(tripod) == 52
    assert sorted({int(re.match(r"\d+", number)[0]) for number in tripod}) == list(range(1, 28))


def test_a_bare_bundle_without_a_run_passes_little_and_breaks_nothing(known):
    bare = assess({**known, "run": None}, {})
    full = assess(known, FACTS)
    passed = [sum(item.verdict == "PASS" for item in items) for items in (bare, full)]
    assert passed[0] < passed[1] < len(items())
    for number in ("7", "9", "19", "23", "24", "25", "26", "35"):
        assert verdict({**known, "run": None}, number, facts={})[0] != "PASS", number
    assert all(item.evidence for item in bare + full)


def test_the_markdown_holds_a_row_for_each_item_and_no_open_markup(known):
    judged = assess({**known, "confounded": "a | b\n# c"}, FACTS)
    text = checklist_markdown(judged, title="A | study")
    rows = [line for line in text.splitlines() if re.match(r"\| \d", line)]
    assert len(rows) == len(items())
    assert all(len(re.findall(r"(?<!\\)\|", row)) == 5 for row in rows)
    for source in SOURCES:
        assert f"## {source}: {count_verdicts([item for item in judged if item.source == source])}" in text


def test_what_fails_stands_in_the_open_and_the_rest_is_folded(known):
    judged = assess({**known, "trained_sources": ["site 0"]}, FACTS)
    blocks = checklist_section(judged).blocks
    failed = next(block for block in blocks if isinstance(block, Table))
    assert [row[0].text for row in failed.rows] == [f"{i.source} {i.number}" for i in judged if i.verdict == "FAIL"]
    assert sum(isinstance(block, Fold) for block in blocks) == 2
