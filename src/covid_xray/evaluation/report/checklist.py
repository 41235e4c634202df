"""What a run knows of itself in, the reporting checklists out: each item PASS, FAIL or TODO with the evidence.

PASS: the run's own files show it. FAIL: they show that it is not so, or cannot be with these data. TODO: nothing here
says it; a person has to, or a command named there. The checks are in `checks` and `checks_of_trust`.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from covid_xray.evaluation.report import run_checks as c
from covid_xray.evaluation.report import trust_checks as t
from covid_xray.evaluation.report.markdown import markdown
from covid_xray.evaluation.report.run_checks import FAIL, PASS, TODO, Check, Known, person
from covid_xray.evaluation.report.sections import Block, Cell, Facts, Fold, Section, Table, Text, cells

SOURCES = {
    "CLAIM 2024": "Checklist for artificial intelligence in medical imaging, 2024 update (44 items).",
    "TRIPOD+AI": "Reporting of prediction models made with regression or machine learning, 2024 (27 items).",
}


@dataclass(frozen=True)
class Item:
    """One item: its source and number there, what it asks for in our words, the check that answers it."""

    source: str
    number: str
    topic: str
    check: Check


CLAIM: tuple[tuple[str, str, Check], ...] = (
    ("1", "title names the kind of AI", person("the manuscript's title")),
    ("2", "abstract: design, methods, results, conclusion", person("the manuscript's abstract")),
    (
        "3",
        "background and intended role",
        person("the manuscript's introduction; the intended role is in model_card.md"),
    ),
    ("4", "aims and hypotheses", person("what the study is to find out, written before the test part is looked at")),
    ("5", "prospective or retrospective", person("public collections are retrospective; say so for your own data")),
    ("6", "goal of the study", person("making a model, testing one, or comparing")),
    ("7", "where the data come from", c.sources),
    ("8", "who was included and excluded", c.excluded),
    ("9", "preparation of the images", c.preprocessing),
    ("10", "choice of a subset of the data", c.subsets),
    (
        "11",
        "removal of identities",
        person("how the collection was de-identified; this software writes no tag of a file"),
    ),
    ("12", "missing data", c.missing_data),
    ("13", "how the images were acquired", person("devices and settings; view and vendor are under Subgroups")),
    ("14", "what the reference standard is", person("how the labels were made: PCR, reports, readers")),
    ("15", "why this reference standard", person("why those labels are good enough")),
    ("16", "who made the labels", person("who labelled, with what training")),
    ("17", "labels of the test set", person("whether the test labels were made as the others")),
    ("18", "agreement of readers", person("how far readers agree with each other and themselves")),
    ("19", "how images came into parts", c.assigned),
    ("20", "what the parts do not share", c.disjoint),
    ("21", "planned size of the test set", c.sample_size),
    ("22", "the model in detail", c.kind_of_model),
    ("23", "software and versions", c.software),
    ("24", "initial weights", c.initial),
    ("25", "how it was trained", c.training),
    ("26", "how the final model was chosen", c.chosen),
    ("27", "ensembles", lambda k: (c.PASS, "one network, no ensemble")),
    ("28", "measures of performance", c.measures),
    ("29", "uncertainty of the measures", c.intervals),
    ("30", "robustness", t.robust),
    ("31", "explanation of the answers", t.explained),
    ("32", "test on data of its own kind", t.inside),
    ("33", "test on data from elsewhere", t.outside),
    ("34", "registration of a trial", person("number of the registration, where the study is a trial")),
    ("35", "numbers included and excluded", c.flow),
    ("36", "who is in each part", t.demographics),
    ("37", "performance on each part, with uncertainty", c.discrimination),
    ("38", "diagnostic performance and its precision", c.diagnostic),
    ("39", "analysis of the failures", t.failures),
    ("40", "limits", t.limits),
    ("41", "what follows for practice", c.intended_use),
    ("42", "the full protocol", person("where the protocol is")),
    ("43", "software, model and data for others", t.shared_data),
    ("44", "funding", person("who paid, and what for")),
)

TRIPOD: tuple[tuple[str, str, Check], ...] = (
    ("1", "title names model, people and outcome", person("the manuscript's title")),
    ("2", "structured abstract", person("the manuscript's abstract")),
    ("3a", "medical context, existing models", person("the manuscript's introduction")),
    ("3b", "who it is for and by whom it is used", c.intended_use),
    ("3c", "known inequalities in health", person("which groups are known to fare worse")),
    ("4", "objectives", person("making the model, testing it, or both")),
    ("5a", "sources of the data", c.sources),
    ("5b", "dates of the data", person("first and last day of the images")),
    ("6a", "setting and centres", t.heterogeneity),
    ("6b", "who was eligible", person("who was imaged, and why")),
    ("6c", "treatments", person("treatment at the time of the image, where it matters (beds, tubes)")),
    ("7", "preparation of the data", c.preprocessing),
    ("8a", "outcome and how it was found", person("how the labels were made")),
    ("8b", "who judged the outcome", person("who labelled, with what training")),
    ("8c", "outcome judged without the prediction", person("whether those who labelled saw the answers")),
    ("9a", "choice of the predictors", c.preprocessing),
    ("9b", "definition of the predictors", c.preprocessing),
    ("9c", "who measured the predictors", person("how the images were acquired, by whom")),
    ("10", "sample size", c.sample_size),
    ("11", "missing data", c.missing_data),
    ("12a", "how the data were used and divided", c.disjoint),
    ("12b", "how predictors were handled", c.preprocessing),
    ("12c", "model, how it was built, internal test", c.training),
    ("12d", "differences between clusters", t.heterogeneity),
    ("12e", "measures, and comparison of models", c.measures),
    ("12f", "recalibration of the model", t.calibrated),
    ("12g", "how predictions were computed", t.evaluated),
    ("13", "imbalance of the classes", t.imbalance),
    ("14", "fairness", t.fairness),
    ("15", "output of the model and its thresholds", t.output),
    ("16", "differences between training and test data", t.differs),
    ("17", "ethics", person("approval, or why none was needed")),
    ("18a", "funding", person("who paid, and what for")),
    ("18b", "conflicts of interest", person("of every author")),
    ("18c", "protocol", person("where the protocol is")),
    ("18d", "registration", person("number of the registration, or that there is none")),
    ("18e", "data for others", c.licences),
    ("18f", "code for others", t.shared_code),
    ("19", "patients and public took part", person("how, or that they did not")),
    ("20a", "flow of participants", c.flow),
    ("20b", "characteristics of participants", t.demographics),
    ("20c", "test data beside training data", t.differs),
    ("21", "numbers in each analysis", c.flow),
    ("22", "the full model", t.specification),
    ("23a", "performance with intervals", c.discrimination),
    ("23b", "performance in clusters and groups", t.fairness),
    ("24", "results of updating", t.calibrated),
    ("25", "interpretation, fairness included", t.interpretation),
    ("26", "limits", t.limits),
    ("27a", "poor or missing input", t.abstention),
    (
        "27b",
        "what users have to do and know",
        person("who may use it and what they must know; model_card.md says what it is not for"),
    ),
    ("27c", "what to study next", t.next_steps),
)

ITEMS: tuple[Item, ...] = (
    *(Item("CLAIM 2024", *row) for row in CLAIM),
    *(Item("TRIPOD+AI", *row) for row in TRIPOD),
)


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
