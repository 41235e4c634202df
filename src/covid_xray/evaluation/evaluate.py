"""Evaluate a predictor on a manifest and write the whole study to a folder."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from covid_xray.config import Limits
from covid_xray.data.manifest.manifest import Manifest
from covid_xray.errors import InputRefused
from covid_xray.evaluation.baseline_comparison import check_baselines
from covid_xray.evaluation.measure import measure
from covid_xray.evaluation.metrics.metrics import classification_report
from covid_xray.evaluation.predictions import ImagePredictor, Predictions, Progress, predict_manifest, write_predictions
from covid_xray.evaluation.report.cases import Case, render_cases, render_sheet
from covid_xray.evaluation.report.charts import charts, decision_charts
from covid_xray.evaluation.report.checklist import assess, checklist_markdown
from covid_xray.evaluation.report.figures import DARK, LIGHT, Chart, read_history, render
from covid_xray.evaluation.report.html import report_html, sections
from covid_xray.evaluation.report.markdown import model_card, report_markdown
from covid_xray.evaluation.report.pdf import report_pdf
from covid_xray.evaluation.report.sections import RenderedChart
from covid_xray.evaluation.schema import Metrics
from covid_xray.evaluation.schema_base import require_schema
from covid_xray.evaluation.trained_images import kept_sentence, left_out_sentence
from covid_xray.files import replacing, write_json, write_text


def evaluate(
    predictor: ImagePredictor,
    manifest: Manifest,
    *,
    out: Path,
    history: Path | None = None,
    baselines: Mapping[str, Any] | None = None,
    banner: str | None = None,
    trained: Mapping[str, Any] | None = None,
    run: Mapping[str, Any] | None = None,
    part: str = "all",
    pdf: bool = False,
    title: str,
    prevalence: str | None = None,
    rounds: int = 1000,
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Write metrics.json, predictions.csv, figures/, report.html, report.md, model_card.md and more to `out`.

    Args:
        predictor: of a bundle, or any object with its interface.
        manifest: the images and their labels, which are classes of the predictor.
        out: folder; earlier files are replaced one by one, report.html last.
        history: `history.csv` of the training run, for the training curves.
        baselines: content of the baselines.json that `covid-xray baselines` wrote for this data set.
        title, banner: of the report; the banner is a warning in red.
        trained: what `trained_images.leave_out_trained` says of these images.
        run, part: the files beside the bundle (`run_facts.read_run`), and the name of these images' part.
        pdf: also write report.pdf.
        prevalence: class mix of a population to evaluate for, such as `covid=0.05,virus=0.1`.
        rounds, seed, progress: of the bootstrap; called with (images done, images in all).

    Returns:
        The content of metrics.json (`schema.Metrics`).

    Raises:
        BadManifest: nothing to evaluate, labels that the network does not know, or baselines of something else.
        InputRefused: no image could be scored.
    """
    yardstick = check_baselines(baselines, predictor.classes)
    predictions = _predict_and_write(predictor, manifest, out / "predictions.csv", progress=progress)
    found = measure(predictions, manifest, predictor.bundle, rounds=rounds, seed=seed, prevalence=prevalence)
    facts: dict[str, Any] = {"title": title, "part": part, "baselines": yardstick, "run": dict(run) if run else None}
    metrics = {**facts, **_describe_trained(trained, banner), **found}
    metrics["warnings"] = [*filter(None, [left_out_sentence(trained) if trained else ""]), *metrics["warnings"]]
    drawings = [*charts(predictions, metrics, read_history(history)), *decision_charts(metrics)]
    cases = render_cases(predictor, predictions, manifest, limits=Limits())
    _write(out, metrics, drawings, cases, predictions=predictions, facts=predictor.bundle.facts, pdf=pdf)
    return metrics


def _describe_trained(trained: Mapping[str, Any] | None, banner: str | None) -> dict[str, Any]:
    """Return the banner and the facts of images that made the network."""
    known = kept_sentence(trained) if trained else ""
    said = " ".join(text for text in (banner, known) if text) or None
    return {"banner": said, "trained_images": dict(trained) if trained else None}


def _predict_and_write(
    predictor: ImagePredictor, manifest: Manifest, path: Path, *, progress: Progress | None
) -> Predictions:
    """Predict the manifest and write the predictions to `path`, even where none is usable."""
    predictions = predict_manifest(predictor, manifest, progress=progress)
    write_predictions(path, predictions)
    if predictions.table.empty:
        first = predictions.failures.iloc[0]
        raise InputRefused(
            f"No image could be scored: {len(predictions.failures)} failures, the first "
            f"{first['code']}: {first['message']}"
        )
    return predictions


def _write(
    out: Path,
    metrics: dict[str, Any],
    drawings: Sequence[Chart],
    cases: Sequence[Case],
    *,
    predictions: Predictions,
    facts: Mapping[str, Any],
    pdf: bool,
) -> None:
    text = classification_report(predictions.labels, predictions.predicted, predictions.classes)
    drawn = [RenderedChart(chart, render(chart, LIGHT), render(chart, DARK)) for chart in drawings]
    for picture in drawn:
        write_bytes(out / "figures" / f"{picture.chart.name}.png", picture.light)
    if cases:
        write_bytes(out / "figures" / "cases.png", render_sheet(cases))
    write_text(out / "classification_report.txt", text)
    write_json(out / "metrics.json", require_schema(metrics, Metrics))
    write_text(out / "model_card.md", model_card(metrics, facts=facts))
    write_text(out / "checklist.md", checklist_markdown(assess(metrics, facts), title=metrics["title"]))
    parts = sections(metrics, drawn=drawn, cases=cases, text=text, facts=facts)
    if pdf:
        write_bytes(out / "report.pdf", report_pdf(metrics, parts=parts))
    write_text(out / "report.md", report_markdown(metrics, parts=parts))
    write_text(out / "report.html", report_html(metrics, parts=parts))


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` atomically."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)
