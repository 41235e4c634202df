"""Figures, charts and cases in, one self-contained page (`report.html`) and a model card (Markdown) out.

The page loads nothing from outside and runs no script; every value in it is escaped, for file names can be hostile.
"""

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from covid_xray.evaluation.cases import RULE, Case
from covid_xray.evaluation.figures import Chart
from covid_xray.evaluation.measure import images, shown
from covid_xray.evaluation.subgroups import SMALLEST

TEMPLATES = Path(__file__).parent / "templates"
NBSP = "\N{NO-BREAK SPACE}"  # a number and its % stay on one line
LISTED = 200  # rows of failed or quarantined files on the page; the rest is in the CSV files
Facts = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Drawn:
    """A chart as PNG bytes for light and for dark pages."""

    chart: Chart
    light: bytes
    dark: bytes


def report_html(
    metrics: Facts, *, drawn: Sequence[Drawn], cases: Sequence[Case], text: str, facts: Mapping[str, Any]
) -> str:
    """The page.

    Args:
        metrics: content of metrics.json.
        drawn: the charts.
        cases: the grid of right and wrong answers.
        text: scikit-learn's classification report.
        facts: of the bundle (`bundle.json`): training data, settings.
    """
    template = _environment(escape=True).get_template("report.html")
    return template.render(
        m=metrics,
        sentences=sentences(metrics),
        drawn=drawn,
        cases=cases,
        rule=RULE,
        text=text,
        facts=facts,
        listed=LISTED,
        smallest=SMALLEST,
        style=Markup((TEMPLATES / "report.css").read_text(encoding="utf-8")),  # noqa: S704 our own file
    )


def model_card(metrics: Facts, *, facts: Mapping[str, Any]) -> str:
    """The model card (Mitchell and others 2019) as Markdown, filled from the bundle and this evaluation."""
    text = _environment(escape=False).get_template("model_card.md").render(m=metrics, facts=facts, smallest=SMALLEST)
    return re.sub(r"\n{3,}", "\n\n", text).rstrip() + "\n"


def sentences(metrics: Facts) -> list[str]:
    """What the figures say of each class, in whole people out of a hundred, for readers who are no statisticians."""
    found = []
    for name in metrics["classes"]:
        hit, kept = (metrics["figures"].get(f"{kind}/{name}") for kind in ("sensitivity", "specificity"))
        parts = []
        if hit:
            parts.append(f"of 100 images of {name} it names {100 * hit['value']:.0f} as {name}")
        if kept:
            parts.append(f"of 100 images of the other classes it calls {100 * (1 - kept['value']):.0f} {name} wrongly")
        if parts:
            sentence = "; ".join(parts)
            found.append(sentence[0].upper() + sentence[1:] + ".")
    return found


def percent(value: float | None) -> str:
    """0.843 -> `84.3 %`."""
    return "–" if value is None else f"{100 * value:.1f}{NBSP}%"


def plain(value: float | None) -> str:
    """0.8431 -> `0.843`."""
    return "–" if value is None else f"{value:.3f}"


def span(figure: Facts | None, *, as_percent: bool = False) -> str:
    """The interval of a figure as `0.801 to 0.880`, or "" where there is none."""
    if not figure or figure.get("ci_low") is None:
        return ""
    if as_percent:
        return f"{100 * figure['ci_low']:.1f} to {100 * figure['ci_high']:.1f}{NBSP}%"
    return f"{figure['ci_low']:.3f} to {figure['ci_high']:.3f}"


def markdown(value: object) -> str:
    """Text that stays text in Markdown: one line, its signs of markup escaped."""
    line = " ".join(shown(value).split())
    return re.sub(r"([\\`*_{}\[\]<>#|~!])", r"\\\1", line)


def data_uri(data: bytes, kind: str) -> Markup:
    """Bytes of a picture as a `data:` address; base64 holds no character that HTML would read."""
    return Markup(f"data:image/{kind};base64,{base64.b64encode(data).decode()}")  # noqa: S704 base64 only


def _environment(*, escape: bool) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=escape,  # noqa: S701 off for Markdown only, where the filter `md` does it
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=shown if escape is False else _safe,
    )
    environment.filters |= {
        "pct": percent,
        "num": plain,
        "span": span,
        "md": markdown,
        "uri": data_uri,
        "images": images,
    }
    return environment


def _safe(value: object) -> object:
    return value if isinstance(value, Markup) or hasattr(value, "__html__") else shown(value)
