"""Build `report.html`, one self-contained page, and the model card (Markdown).

The page loads nothing from outside and runs no script. Every value is escaped, because file names can be hostile.
"""

import base64
import re
from collections.abc import Mapping, Sequence
from typing import Any

import jinja2
from markupsafe import Markup

from covid_xray.evaluation.measure import images
from covid_xray.evaluation.report import evidence_sections, model_sections, results_sections, subgroup_section
from covid_xray.evaluation.report.cases import Case
from covid_xray.evaluation.report.checklist import assess, checklist_section
from covid_xray.evaluation.report.markdown import markdown
from covid_xray.evaluation.report.sections import (
    TEMPLATES,
    RenderedChart,
    Section,
    decimal,
    kind,
    percent,
    span,
    with_span,
)
from covid_xray.evaluation.report.summary_section import RESEARCH, limitations, summary
from covid_xray.files import shown

LISTED = 200  # rows of failed or quarantined files on the page; the rest is in the CSV files
Facts = Mapping[str, Any]


def sections(
    metrics: Facts, *, drawn: Sequence[RenderedChart], cases: Sequence[Case], text: str, facts: Facts
) -> list[Section]:
    """Return the sections of the report in order, for HTML, Markdown and PDF.

    Args:
        metrics: content of metrics.json.
        drawn: the charts; each goes to its section.
        cases: the grid of right and wrong answers.
        text: scikit-learn's classification report.
        facts: content of bundle.json.
    """

    def charts(*names: str) -> tuple[RenderedChart, ...]:
        return tuple(picture for picture in drawn if picture.chart.name in names)

    def charts_like(start: str, *, stated: bool) -> tuple[RenderedChart, ...]:
        names = [picture.chart.name for picture in drawn if picture.chart.name.startswith(start)]
        return charts(*(name for name in names if name.endswith("_stated") == stated))

    found = [
        summary(metrics),
        results_sections.figures(metrics, charts("roc", "precision_recall")),
        results_sections.confusion(metrics, text, charts("confusion_matrix")),
        model_sections.cases(tuple(cases)),
        results_sections.sources(metrics, charts("by_source")),
        subgroup_section.subgroups(metrics, charts("subgroups")),
        evidence_sections.baselines(metrics),
        model_sections.clinical_input(facts),
        evidence_sections.audit(metrics),
        evidence_sections.saliency(metrics),
        results_sections.calibration(metrics, charts("reliability")),
        evidence_sections.operating_points(metrics),
        evidence_sections.decision(metrics, charts_like("decision_curve", stated=False)),
        evidence_sections.prevalence(metrics, charts_like("decision_curve", stated=True)),
        results_sections.prediction_sets(metrics),
        results_sections.abstention(metrics, facts),
        results_sections.people(metrics),
        results_sections.files(metrics, listed=LISTED),
        checklist_section(assess(metrics, facts)),
        model_sections.limits(),
        model_sections.model(metrics, facts, charts("training_curves")),
    ]
    return [section for section in found if section]


def report_html(metrics: Facts, *, parts: Sequence[Section]) -> str:
    """Return the page from metrics.json and the result of `sections`."""
    template = _environment(escape=True).get_template("report.html")
    return template.render(
        m=metrics,
        parts=parts,
        research=RESEARCH,
        style=Markup((TEMPLATES / "report.css").read_text(encoding="utf-8")),  # our own file  # noqa: S704  # nosec B704
    )


def model_card(metrics: Facts, *, facts: Facts) -> str:
    """Return the model card (Mitchell and others 2019) as Markdown."""
    template = _environment(escape=False).get_template("model_card.md")
    text = template.render(m=metrics, facts=facts, cannot=limitations(metrics))
    return re.sub(r"\n{3,}", "\n\n", text).rstrip() + "\n"


def data_uri(data: bytes, kind: str) -> Markup:
    """Encode a picture as a `data:` address."""
    return Markup(f"data:image/{kind};base64,{base64.b64encode(data).decode()}")  # base64 only  # noqa: S704  # nosec B704


def _environment(*, escape: bool) -> jinja2.Environment:
    environment = jinja2.Environment(  # see autoescape  # nosec B701
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
        "num": decimal,
        "span": span,
        "md": markdown,
        "uri": data_uri,
        "images": images,
        "kind": kind,
        "figure": with_span,
        "figure_name": subgroup_section.figure_name,
    }
    return environment


def _safe(value: object) -> object:
    return value if isinstance(value, Markup) or hasattr(value, "__html__") else shown(value)
