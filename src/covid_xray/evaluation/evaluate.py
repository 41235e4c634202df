"""A predictor and a manifest in, a folder with the whole study out: figures, tables, pictures and one page to read."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from covid_xray.data.manifest import Manifest
from covid_xray.errors import InputRefused
from covid_xray.evaluation.measure import best_baseline, measure
from covid_xray.evaluation.metrics import classification_report
from covid_xray.evaluation.predictions import Answering, Progress, predict_manifest, write_predictions
from covid_xray.files import write_json, write_text


def evaluate(
    predictor: Answering,
    manifest: Manifest,
    *,
    out: Path,
    history: Path | None = None,
    baselines: Mapping[str, Any] | None = None,
    banner: str | None = None,
    title: str,
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
        baselines: no-lung baselines, name -> figures (`{"frame only": {"macro_f1": 0.72}}`).
        banner: a warning printed in red on top of the report.
        title: of the report.
        rounds, seed: of the bootstrap.
        progress: called with (images done, images in all).

    Returns:
        The content of metrics.json.

    Raises:
        BadManifest: nothing to evaluate, or labels that the network does not know.
        InputRefused: not one image could be scored.
    """
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
        **measure(predictions, manifest, predictor.bundle, rounds=rounds, seed=seed),
        "baselines": None if baselines is None else dict(baselines),
        "best_baseline": best_baseline(baselines),
    }
    text = classification_report(predictions.labels, predictions.predicted, predictions.classes)
    write_text(out / "classification_report.txt", text)
    write_json(out / "metrics.json", metrics)
    return metrics
