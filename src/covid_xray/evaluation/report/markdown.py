"""Write the report as Markdown without radiographs, for places where images may not be shown."""

import re
from collections.abc import Iterator, Sequence

from covid_xray.evaluation.report.sections import (
    Block,
    Bullets,
    Cards,
    Cell,
    Charts,
    Code,
    Facts,
    Fold,
    Pairs,
    Section,
    Table,
    Text,
)
from covid_xray.evaluation.report.summary_section import RESEARCH
from covid_xray.files import shown

LEFT_OUT = ("cases",)  # sections that are about single radiographs


def report_markdown(metrics: Facts, *, parts: Sequence[Section], figures: str = "figures") -> str:
    """Return the report as Markdown.

    Args:
        metrics: content of metrics.json.
        parts: of `html.sections`.
        figures: folder of the charts, relative to the page.
    """
    model = metrics["model"]
    about = f"Network {markdown(model['name'])} {markdown(model['version'])}, SHA-256 {markdown(model['sha256'])}."
    lines = [f"# {markdown(metrics['title'])}", "", f"{RESEARCH} {about}", ""]
    for part in parts:
        if part.key not in LEFT_OUT:
            lines += [f"## {markdown(part.title)}", ""]
            for block in part.blocks:
                lines += [*_block(block, figures), ""]
    return "\n".join(lines).rstrip() + "\n"


def _block(block: Block, figures: str) -> Iterator[str]:
    if isinstance(block, Text):
        yield f"**{markdown(block.text)}**" if block.tone in ("alert", "strong") else markdown(block.text)
    elif isinstance(block, Bullets):
        yield from [f"**{markdown(block.title)}**", ""] if block.title else []
        yield from (f"- {markdown(item)}" for item in block.items)
    elif isinstance(block, Table):
        yield from _table(block)
    elif isinstance(block, Cards):
        yield from (
            f"- {markdown(card.label)}: **{markdown(card.value)}** {markdown(card.detail)}" for card in block.cards
        )
    elif isinstance(block, Charts):
        yield from (
            f"![{markdown(picture.chart.title)}]({figures}/{picture.chart.name}.png)" for picture in block.drawn
        )
    elif isinstance(block, Pairs):
        yield from ["| | |", "|---|---|"]
        yield from (f"| {markdown(name)} | {markdown(text)} |" for name, text in block.rows)
    elif isinstance(block, Code):
        yield from ["```", *(line.replace("```", "'''") for line in shown(block.text).strip("\n").splitlines()), "```"]
    elif isinstance(block, Fold):
        yield from [f"### {markdown(block.title)}", ""]
        for inner in block.blocks:
            yield from [*_block(inner, figures), ""]


def _table(block: Table) -> Iterator[str]:
    yield from [markdown(block.caption) + ":", ""]
    yield "| " + " | ".join(markdown(name) for name in block.head) + " |"
    yield "|" + "---|" * len(block.head)
    for row in block.rows:
        yield "| " + " | ".join(_cell(field) for field in row) + " |"


def _cell(field: Cell) -> str:
    text = markdown(field.text)
    if field.mark in ("bad", "strong") and text:
        text = f"**{text}**"
    return f"{text} ({markdown(field.small)})" if field.small else text


def markdown(value: object) -> str:
    """Return one line with its markup characters escaped."""
    line = " ".join(shown(value).split())
    return re.sub(r"([\\`*_{}\[\]<>#|~!])", r"\\\1", line)
