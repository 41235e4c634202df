"""What a run knows of itself in, the reporting checklists out: each item PASS, FAIL or TODO with the evidence.

PASS: the run's own files show it. FAIL: they show that it is not so, or cannot be with these data. TODO: nothing here
says it; a person has to, or a command named there. The items are in `checklist_items`, the checks in `checks`.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from covid_xray.evaluation.checklist_items import ITEMS, SOURCES
from covid_xray.evaluation.checks import FAIL, PASS, TODO, Known
from covid_xray.evaluation.markdown import markdown
from covid_xray.evaluation.sections import Block, Cell, Facts, Fold, Section, Table, Text, cells

MARKS = {PASS: "good", FAIL: "bad", TODO: "open"}


@dataclass(frozen=True)
class Judged:
    """One item of a checklist.

    Args:
        source: of `SOURCES`.
        number: of the item in its source.
        topic: what it asks for, in our words.
        verdict: PASS, FAIL or TODO.
        evidence: what shows it, or what is missing.
    """

    source: str
    number: str
    topic: str
    verdict: str
    evidence: str


def assess(metrics: Facts, facts: Facts) -> list[Judged]:
    """Every item, in the order of its source.

    Args:
        metrics: content of metrics.json.
        facts: of the bundle.
    """
    known = Known(metrics, facts)
    judged = []
    for item in ITEMS:
        verdict, evidence = item.check(known)
        judged.append(Judged(item.source, item.number, item.topic, verdict, evidence))
    return judged


def checklist_markdown(judged: Sequence[Judged], *, title: str) -> str:
    """`checklist.md`: a table for each source, counts first."""
    lines = [f"# Checklists: {markdown(title)}", "", "Research use, not for diagnosis.", "", *_meaning()]
    for source, about in SOURCES.items():
        items = [item for item in judged if item.source == source]
        lines += ["", f"## {source}: {counted(items)}", "", f"{about}", ""]
        lines += ["| item | asks for | verdict | evidence, or what is missing |", "|---|---|---|---|"]
        lines += [f"| {i.number} | {markdown(i.topic)} | **{i.verdict}** | {markdown(i.evidence)} |" for i in items]
    return "\n".join(lines) + "\n"


def checklist_section(judged: Sequence[Judged]) -> Section:
    """The checklists folded away; what failed stands in the open."""
    blocks: list[Block] = [Text(" ".join(_meaning()))]
    failed = [item for item in judged if item.verdict == FAIL]
    if failed:
        blocks.append(_table("Items that fail", failed, with_source=True))
    for source, about in SOURCES.items():
        items = [item for item in judged if item.source == source]
        table = _table(source, items, with_source=False)
        blocks.append(Fold(f"{source}: {counted(items)}", (Text(about, "soft"), table)))
    return Section("checklists", "Checklists", tuple(blocks))


def counted(items: Sequence[Judged]) -> str:
    """`20 PASS, 4 FAIL, 20 TODO`."""
    found = Counter(item.verdict for item in items)
    return ", ".join(f"{found[verdict]} {verdict}" for verdict in (PASS, FAIL, TODO))


def _meaning() -> list[str]:
    return [
        "PASS: the files of the run show it. FAIL: they show that it is not so, or that these data cannot. TODO: "
        "nothing here says it, so a person or the command named has to. Our words; the sources hold the full text."
    ]


def _table(caption: str, items: Sequence[Judged], *, with_source: bool) -> Table:
    head = ("item", "asks for", "verdict", "evidence, or what is missing")
    rows = [
        cells(
            f"{i.source} {i.number}" if with_source else i.number,
            i.topic,
            Cell(i.verdict, mark=MARKS[i.verdict]),
            i.evidence,
        )
        for i in items
    ]
    return Table(caption, head, tuple(rows), words=True)
