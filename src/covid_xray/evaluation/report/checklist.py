"""Fill the reporting checklists from a run: each item PASS, FAIL or TODO with the evidence.

PASS: the files of the run show it. FAIL: they show the opposite. TODO: a person or a command has to answer it.
"""

import csv
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from covid_xray.evaluation.report import checks, performance_checks
from covid_xray.evaluation.report.checks import FAIL, PASS, TODO, Known
from covid_xray.evaluation.report.sections import (
    TEMPLATES,
    Block,
    Cell,
    Facts,
    Fold,
    Section,
    Table,
    Text,
    cells,
    markdown,
)

SOURCES = {
    "CLAIM 2024": "Checklist for artificial intelligence in medical imaging, 2024 update (44 items).",
    "TRIPOD+AI": "Reporting of prediction models made with regression or machine learning, 2024 (27 items).",
}
MEANING = (
    "PASS: the files of the run show it. FAIL: they show the opposite, or that these data cannot. TODO: a person "
    "or the command named has to answer it. The wording is ours; the sources hold the full text."
)
MARKS = {PASS: "good", FAIL: "bad", TODO: "open"}


@dataclass(frozen=True)
class Item:
    """One item of a checklist as `templates/checklists.csv` holds it."""

    source: str  # of `SOURCES`
    number: str
    topic: str
    check: str  # the name of a function, or PASS or TODO
    text: str  # the evidence of PASS, or what TODO asks a person for

    def judge(self, known: Known) -> "Judged":
        """Return the verdict and evidence of the check, or the constant ones."""
        module = performance_checks if hasattr(performance_checks, self.check) else checks
        constant = self.check in (PASS, TODO)
        verdict, evidence = (self.check, self.text) if constant else getattr(module, self.check)(known)
        return Judged(self.source, self.number, self.topic, verdict, evidence)


@dataclass(frozen=True)
class Judged:
    """One item of a checklist with its verdict."""

    source: str  # of `SOURCES`
    number: str
    topic: str
    verdict: str  # PASS, FAIL or TODO
    evidence: str  # or what is missing


@cache
def items() -> tuple[Item, ...]:
    """Read the items of all checklists, in the order of their sources."""
    text = (TEMPLATES / "checklists.csv").read_text(encoding="utf-8")
    return tuple(Item(**row) for row in csv.DictReader(io.StringIO(text)))


def assess(metrics: Facts, facts: Facts) -> list[Judged]:
    """Judge every item from the content of metrics.json and bundle.json."""
    known = Known(metrics, facts)
    return [item.judge(known) for item in items()]


def checklist_markdown(judged: Sequence[Judged], *, title: str) -> str:
    """Return `checklist.md`: a table for each source, counts first."""
    lines = [f"# Checklists: {markdown(title)}", "", "Research use, not for diagnosis.", "", MEANING]
    for source, about in SOURCES.items():
        rows = [item for item in judged if item.source == source]
        lines += ["", f"## {source}: {count_verdicts(rows)}", "", about, ""]
        lines += ["| item | asks for | verdict | evidence, or what is missing |", "|---|---|---|---|"]
        lines += [f"| {i.number} | {markdown(i.topic)} | **{i.verdict}** | {markdown(i.evidence)} |" for i in rows]
    return "\n".join(lines) + "\n"


def checklist_section(judged: Sequence[Judged]) -> Section:
    """Return the checklists as a section: failed items in the open, the rest folded."""
    blocks: list[Block] = [Text(MEANING)]
    failed = [item for item in judged if item.verdict == FAIL]
    if failed:
        blocks.append(_table("Items that fail", failed, with_source=True))
    for source, about in SOURCES.items():
        rows = [item for item in judged if item.source == source]
        table = _table(source, rows, with_source=False)
        blocks.append(Fold(f"{source}: {count_verdicts(rows)}", (Text(about, "soft"), table)))
    return Section("checklists", "Checklists", tuple(blocks))


def count_verdicts(judged: Sequence[Judged]) -> str:
    """Format the counts as `20 PASS, 4 FAIL, 20 TODO`."""
    found = Counter(item.verdict for item in judged)
    return ", ".join(f"{found[verdict]} {verdict}" for verdict in (PASS, FAIL, TODO))


def _table(caption: str, judged: Sequence[Judged], *, with_source: bool) -> Table:
    head = ("item", "asks for", "verdict", "evidence, or what is missing")
    rows = [
        cells(
            f"{i.source} {i.number}" if with_source else i.number,
            i.topic,
            Cell(i.verdict, mark=MARKS[i.verdict]),
            i.evidence,
        )
        for i in judged
    ]
    return Table(caption, head, tuple(rows), words=True)
