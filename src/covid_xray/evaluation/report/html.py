"""Build `report.html`, one self-contained page.

The page loads nothing from outside and runs no script. Every value is escaped, because file names can be hostile.
"""

import base64
from collections.abc import Sequence

from markupsafe import Markup

from covid_xray.evaluation.report import evidence_sections, model_sections, results_sections, subgroup_section
from covid_xray.evaluation.report.cases import Case
from covid_xray.evaluation.report.checklist import assess, checklist_section
from covid_xray.evaluation.report.markdown import environment
from covid_xray.evaluation.report.sections import TEMPLATES, Facts, RenderedChart, Section
from covid_xray.evaluation.report.summary_section import RESEARCH, summary

LISTED = 200  # rows of failed or quarantined files on the page; the rest is in the CSV files


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
        results_sections.calibration(metrics, charts("reliability"), fitted=facts.get("calibration")),
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


def report_html(metrics: Facts, *, parts: Sequence[Section], kind: str = "Evaluation report") -> str:
    """Return the page from `title` and `model` of metrics.json and the result of `sections`."""
    templates = environment(escape=True)
    templates.filters["uri"] = data_uri
    return templates.get_template("report.html").render(
        m=metrics,
        parts=parts,
        kind=kind,
        research=RESEARCH,
        style=Markup((TEMPLATES / "report.css").read_text(encoding="utf-8")),  # our own file  # noqa: S704  # nosec B704
    )


def data_uri(data: bytes, kind: str) -> Markup:
    """Encode a picture as a `data:` address."""
    return Markup(f"data:image/{kind};base64,{base64.b64encode(data).decode()}")  # base64 only  # noqa: S704  # nosec B704
