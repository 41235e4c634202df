"""A predictor and a manifest in, a folder with the whole study out: figures, tables, pictures and one page to read."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from covid_xray.config import Limits
from covid_xray.data.manifest import Manifest
from covid_xray.errors import InputRefused
from covid_xray.evaluation.cases import draw, sheet
from covid_xray.evaluation.decision_figures import decision_charts
from covid_xray.evaluation.figures import DARK, LIGHT, charts, read_history, render
from covid_xray.evaluation.measure import measure
from covid_xray.evaluation.metrics import classification_report
from covid_xray.evaluation.no_lung import compared
from covid_xray.evaluation.predictions import Answering, Predictions, Progress, predict_manifest, write_predictions
from covid_xray.evaluation.report import Drawn, model_card, report_html
from covid_xray.files import replacing, write_json, write_text


def evaluate(
    predictor: Answering,
    manifest: Manifest,
    *,
    out: Path,
    history: Path | None = None,
    baselines: Mapping[str, Any] | None = None,
    banner: str | None = None,
    title: str,
    prevalence: str | None = None,
    rounds: int = 1000,
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Write metrics.json, predictions.csv, classification_report.txt, figures/, model_card.md and report.html to `out`.

    Args:
        predictor: of a bundle, or anything that answers like one.
        manifest: the images and their labels, all of them among the predictor's classes.
        out: folder; files of an earlier evaluation in it are replaced one by one, report.html last.
        history: `history.csv` of the training run, for the training curves.
        baselines: content of the baselines.json that `covid-xray baselines` wrote for this data set.
        banner: a warning printed in red on top of the report.
        title: of the report.
        prevalence: the mix of classes of a population, as `covid=0.05,virus=0.1`, to say what holds there.
        rounds, seed: of the bootstrap.
        progress: called with (images done, images in all).

    Returns:
        The content of metrics.json.

    Raises:
        BadManifest: nothing to evaluate, labels that the network does not know, or baselines of something else.
        InputRefused: not one image could be scored.
    """
    yardstick = compared(baselines, predictor.classes)
    predictions = predict_manifest(predictor, manifest, progress=progress)
    write_predictions(out / "predictions.csv", predictions)
    if predictions.table.empty:
        first = predictions.failures.iloc[0]
        raise InputRefused(
            f"expected at least one image that can be scored. Received: {len(predictions.failures)} failures, "
            f"the first {first['code']}: {first['message']}"
        )
    metrics = {
        "title": title,
        "banner": banner,
        **measure(predictions, manifest, predictor.bundle, rounds=rounds, seed=seed, prevalence=prevalence),
        "baselines": yardstick,
    }
    _write(out, metrics=metrics, predictions=predictions, manifest=manifest, predictor=predictor, history=history)
    return metrics


def _write(
    out: Path,
    *,
    metrics: dict[str, Any],
    predictions: Predictions,
    manifest: Manifest,
    predictor: Answering,
    history: Path | None,
) -> None:
    text = classification_report(predictions.labels, predictions.predicted, predictions.classes)
    cases = draw(predictor, predictions, manifest, limits=Limits())
    drawn = [
        Drawn(chart, render(chart, LIGHT), render(chart, DARK))
        for chart in [*charts(predictions, metrics, read_history(history)), *decision_charts(metrics)]
    ]
    for picture in drawn:
        write_bytes(out / "figures" / f"{picture.chart.name}.png", picture.light)
    if cases:
        write_bytes(out / "figures" / "cases.png", sheet(cases))
    write_text(out / "classification_report.txt", text)
    write_json(out / "metrics.json", metrics)
    facts = predictor.bundle.facts
    write_text(out / "model_card.md", model_card(metrics, facts=facts))
    write_text(out / "report.html", report_html(metrics, drawn=drawn, cases=cases, text=text, facts=facts))


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data`, atomically."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)
