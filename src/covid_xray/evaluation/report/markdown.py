"""Render pages in Markdown from the templates: the report without radiographs, the model card and others."""

import re
from collections.abc import Sequence
from typing import Any

import jinja2
from markupsafe import Markup

from covid_xray.evaluation.measure import images
from covid_xray.evaluation.report.claims import describe_overlap, parts_apart
from covid_xray.evaluation.report.sections import (
    TEMPLATES,
    Facts,
    Section,
    decimal,
    format_interval,
    kind,
    markdown,
    percent,
    span,
    with_span,
)
from covid_xray.evaluation.report.subgroup_section import figure_name
from covid_xray.evaluation.report.summary_section import RESEARCH, guessing, limitations
from covid_xray.files import shown


def report_markdown(metrics: Facts, *, parts: Sequence[Section], figures: str = "figures") -> str:
    """Return the report as Markdown without radiographs, for places where images may not be shown.

    Args:
        metrics: content of metrics.json.
        parts: of `html.sections`.
        figures: folder of the charts, relative to the page.
    """
    return render_markdown("report.md", m=metrics, parts=parts, figures=figures, research=RESEARCH)


def model_card(metrics: Facts, *, facts: Facts) -> str:
    """Return the model card (Mitchell and others 2019) as Markdown."""
    return render_markdown(
        "model_card.md", m=metrics, facts=facts, cannot=limitations(metrics), guessing=guessing(metrics),
        parts_apart=parts_apart, describe_overlap=describe_overlap,
    )  # fmt: skip


def render_markdown(template: str, **facts: Any) -> str:
    """Render a page from the folder of templates; a fact that is missing is an error."""
    text = environment(escape=False).get_template(template).render(**facts)
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def environment(*, escape: bool) -> jinja2.Environment:
    """Return the templates with the filters for figures; with `escape` every value is safe in HTML."""
    found = jinja2.Environment(  # see autoescape  # nosec B701
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=escape,  # noqa: S701 off for Markdown only, where the filter `md` does it
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_safe,
    )
    found.filters |= {
        "pct": percent, "num": decimal, "span": span, "figure": with_span, "ci": format_interval, "md": markdown,
        "images": images, "kind": kind, "figure_name": figure_name,
    }  # fmt: skip
    return found


def _safe(value: object) -> object:
    return value if isinstance(value, Markup) or hasattr(value, "__html__") else shown(value)
