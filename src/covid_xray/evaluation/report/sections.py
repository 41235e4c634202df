"""Define the sections and blocks of a report as plain data, which HTML, Markdown and PDF render.

Text is escaped where it is rendered, never before.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from covid_xray.evaluation.report.cases import Case
from covid_xray.evaluation.report.figures import Chart
from covid_xray.files import shown

TEMPLATES = Path(__file__).parent / "templates"
NBSP = "\N{NO-BREAK SPACE}"  # a number and its % stay on one line
NONE = "–"
Facts = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class RenderedChart:
    """A chart as PNG bytes for light and for dark pages."""

    chart: Chart
    light: bytes
    dark: bytes


@dataclass(frozen=True)
class Text:
    """A paragraph; `tone` is plain, soft (small print), strong, or alert (a red banner)."""

    text: str
    tone: str = "plain"


@dataclass(frozen=True)
class Bullets:
    """A list; with `beware` it is an amber box below its title."""

    items: tuple[str, ...]
    title: str = ""
    beware: bool = False


@dataclass(frozen=True)
class Cell:
    """A table cell: its text, small print below it, and `mark`: good, bad, open or nothing."""

    text: str
    small: str = ""
    mark: str = ""


@dataclass(frozen=True)
class Table:
    """Rows of cells below a head; the first cell of a row names it. `words`: cells are text, not numbers."""

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    words: bool = False


@dataclass(frozen=True)
class Card:
    """One value in large type; `word` when it is text."""

    label: str
    value: str
    detail: str
    word: bool = False


@dataclass(frozen=True)
class Cards:
    """The most important values, side by side."""

    cards: tuple[Card, ...]


@dataclass(frozen=True, eq=False)
class Charts:
    """Charts, as many side by side as fit."""

    drawn: tuple[RenderedChart, ...]


@dataclass(frozen=True, eq=False)
class Cases:
    """Radiographs with their heat maps."""

    cases: tuple[Case, ...]


@dataclass(frozen=True)
class Pairs:
    """Names with their values."""

    rows: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Code:
    """Preformatted text."""

    text: str


@dataclass(frozen=True, eq=False)
class Fold:
    """Blocks that the page shows on a click and the document in full."""

    title: str
    blocks: tuple["Block", ...]


Block = Text | Bullets | Table | Cards | Charts | Cases | Pairs | Code | Fold


@dataclass(frozen=True, eq=False)
class Section:
    """A heading with its blocks; `key` is its anchor on the page."""

    key: str
    title: str
    blocks: tuple[Block, ...]


def kind(block: Block) -> str:
    """Return the lower-case name of the block's class."""
    return type(block).__name__.lower()


def percent(value: float | None) -> str:
    """Format 0.843 as `84.3 %`."""
    return NONE if value is None else f"{100 * value:.1f}{NBSP}%"


def decimal(value: float | None) -> str:
    """Format 0.8431 as `0.843`."""
    return NONE if value is None else f"{value:.3f}"


def span(figure: Facts | None, *, as_percent: bool = False) -> str:
    """Format the interval of a figure as `0.801 to 0.880`, or "" where there is none."""
    if not figure or figure.get("ci_low") is None:
        return ""
    if as_percent:
        return f"{100 * figure['ci_low']:.1f} to {100 * figure['ci_high']:.1f}{NBSP}%"
    return f"{figure['ci_low']:.3f} to {figure['ci_high']:.3f}"


def with_span(figure: Facts | None, *, as_percent: bool = False) -> str:
    """Format a figure as `0.843 (0.801 to 0.880)`."""
    if not figure:
        return NONE
    value = percent(figure["value"]) if as_percent else decimal(figure["value"])
    ends = span(figure, as_percent=as_percent)
    return f"{value} ({ends})" if ends else value


def format_interval(figure: Facts | None) -> str:
    """Format a figure as `0.812 (0.760 to 0.851)`, or "" where there is none."""
    return f"{decimal(figure['value'])} ({span(figure) or 'too few'})" if figure else ""


def cell(figure: Facts | None, *, as_percent: bool = False, missing: str = NONE, mark: str = "") -> Cell:
    """Return a cell with a figure and its interval below it."""
    if not figure:
        return Cell(missing)
    value = percent(figure["value"]) if as_percent else decimal(figure["value"])
    return Cell(value, span(figure, as_percent=as_percent), mark)


def markdown(value: object) -> str:
    """Return one line with the markup characters of Markdown escaped."""
    line = " ".join(shown(value).split())
    return re.sub(r"([\\`*_{}\[\]<>#|~!])", r"\\\1", line)


def thousands(number: int) -> str:
    """Format 1204 as `1,204`."""
    return f"{number:,}"


def counts(values: Mapping[Any, int]) -> str:
    """Format counts as `3 covid, 1,200 normal`."""
    return ", ".join(f"{count:,} {name}" for name, count in values.items())


def cells(*texts: object) -> tuple[Cell, ...]:
    """Return a row of plain cells."""
    return tuple(text if isinstance(text, Cell) else Cell(str(text)) for text in texts)


def flatten(*blocks: Block | Sequence[Block] | None) -> tuple[Block, ...]:
    """Flatten blocks and lists of blocks; `None` is left out."""
    flat: list[Block] = []
    for block in blocks:
        if block is None:
            continue
        flat.extend(block if isinstance(block, list | tuple) else [block])  # type: ignore[list-item]
    return tuple(flat)


def audit_of(m: Facts) -> Facts | None:
    """Return the audit of the evaluated network; an audit of another network in the same folder does not count."""
    found = (m.get("run") or {}).get("audit")
    return found if found and found["model"]["sha256"] == m["model"]["sha256"] else None
