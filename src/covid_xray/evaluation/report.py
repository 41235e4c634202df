"""Figures, charts and cases in, one self-contained page (`report.html`) and a model card (Markdown) out.

The page loads nothing from outside and runs no script; every value in it is escaped, for file names can be hostile.
"""

import base64
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from covid_xray.evaluation import report_about, report_clinical, report_evidence, report_groups, report_results
from covid_xray.evaluation.cases import Case
from covid_xray.evaluation.checklist import assess, checklist_section
from covid_xray.evaluation.measure import images
from covid_xray.evaluation.report_markdown import markdown
from covid_xray.evaluation.report_summary import RESEARCH, cannot, summary
from covid_xray.evaluation.sections import Drawn, Section, kind, percent, plain, span, with_span
from covid_xray.files import shown

TEMPLATES = Path(__file__).parent / "templates"
LISTED = 200  # rows of failed or quarantined files on the page; the rest is in the CSV files
Facts = Mapping[str, Any]


def sections(
    metrics: Facts, *, drawn: Sequence[Drawn], cases: Sequence[Case], text: str, facts: Facts
) -> list[Section]:
    """What the report says, in its order; the page and the document are two ways to show it.

    Args:
        metrics: content of metrics.json.
        drawn: the charts; each goes to the section that it belongs to.
        cases: the grid of right and wrong answers.
        text: scikit-learn's classification report.
        facts: of the bundle (`bundle.json`): training data, settings.
    """

    def charts(*names: str) -> tuple[Drawn, ...]:
        return tuple(picture for picture in drawn if picture.chart.name in names)

    def charts_like(start: str, *, stated: bool) -> tuple[Drawn, ...]:
        names = [picture.chart.name for picture in drawn if picture.chart.name.startswith(start)]
        return charts(*(name for name in names if name.endswith("_stated") == stated))

    found = [
        summary(metrics),
        report_results.figures(metrics, charts("roc", "precision_recall")),
        report_results.confusion(metrics, text, charts("confusion_matrix")),
        report_about.cases(tuple(cases)),
        report_results.sources(metrics, charts("by_source")),
        report_groups.subgroups(metrics, charts("subgroups")),
        report_evidence.baselines(metrics),
        report_clinical.clinical_input(facts),
        report_evidence.audit(metrics),
        report_evidence.saliency(metrics),
        report_results.calibration(metrics, charts("reliability")),
        report_evidence.operating_points(metrics),
        report_evidence.decision(metrics, charts_like("decision_curve", stated=False)),
        report_evidence.prevalence(metrics, charts_like("decision_curve", stated=True)),
        report_results.prediction_sets(metrics),
        report_results.abstention(metrics, facts),
        report_results.people(metrics),
        report_results.files(metrics, listed=LISTED),
        checklist_section(assess(metrics, facts)),
        report_about.limits(),
        report_about.model(metrics, facts, charts("training_curves")),
    ]
    return [section for section in found if section]


def report_html(metrics: Facts, *, parts: Sequence[Section]) -> str:
    """The page.

    Args:
        metrics: content of metrics.json; its title and network head the page.
        parts: of `sections`.
    """
    template = _environment(escape=True).get_template("report.html")
    return template.render(
        m=metrics,
        parts=parts,
        research=RESEARCH,
        style=Markup((TEMPLATES / "report.css").read_text(encoding="utf-8")),  # our own file  # noqa: S704  # nosec B704
    )


def model_card(metrics: Facts, *, facts: Facts) -> str:
    """The model card (Mitchell and others 2019) as Markdown, filled from the bundle and this evaluation."""
    template = _environment(escape=False).get_template("model_card.md")
    text = template.render(m=metrics, facts=facts, cannot=cannot(metrics))
    return re.sub(r"\n{3,}", "\n\n", text).rstrip() + "\n"


def data_uri(data: bytes, kind: str) -> Markup:
    """Bytes of a picture as a `data:` address; base64 holds no character that HTML would read."""
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
        "num": plain,
        "span": span,
        "md": markdown,
        "uri": data_uri,
        "images": images,
        "kind": kind,
        "figure": with_span,
        "figure_name": report_groups.figure_name,
    }
    return environment


def _safe(value: object) -> object:
    return value if isinstance(value, Markup) or hasattr(value, "__html__") else shown(value)
