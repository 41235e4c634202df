"""Do the work of `covid-xray evaluate`: evaluate and print the main figures."""

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from covid_xray.cli.console import bar, err, out
from covid_xray.errors import InputRefused
from covid_xray.evaluation.study import Study
from covid_xray.evaluation.study import run_study as evaluate_study
from covid_xray.inference.predictor import Predictor

if TYPE_CHECKING:
    from covid_xray.data.manifest.manifest import Manifest


def run_study(study: Study, manifest: "Manifest", *, tta: int | None = None) -> dict[str, Any]:
    """Evaluate, write all results, print the main figures; return the content of metrics.json."""
    predictor = Predictor([study.run, *study.others], tta=tta)
    study = dataclasses.replace(study, banner=study.banner or predictor.caution or None)
    with bar("evaluate") as progress:
        metrics = evaluate_study(study, predictor, manifest, say=say, progress=progress)
    _print(metrics, study.target, pdf=study.pdf)
    return metrics


def say(text: str, warning: bool) -> None:
    """Print a sentence on stderr, a warning in red."""
    err.line(text, style="bold red" if warning else None)


def read_result(path: Path | None, *, command: str) -> dict[str, Any] | None:
    """Read the JSON object that `covid-xray COMMAND` wrote; `None` where no path was given."""
    if path is None:
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        content = None
    if not isinstance(content, dict):
        raise InputRefused(f"Not a result of covid-xray {command}: {path}. Give the JSON file that it wrote.")
    return content


def show(figure: dict[str, Any], metrics: dict[str, Any]) -> str:
    """Format a figure with its interval, if it has one, and the images and patients behind it."""
    span = "too few for an interval"
    if figure["ci_low"] is not None:
        span = f"{figure['ci_low']:.3f} to {figure['ci_high']:.3f}"
    people = "" if metrics["n_patients"] is None else f", {metrics['n_patients']:,} patients"
    return f"{figure['value']:.3f} ({span}), n={metrics['n_images']:,} images{people}"


def _print(metrics: dict[str, Any], target: Path, *, pdf: bool) -> None:
    for name in ("accuracy", "macro_f1", "auroc_macro", "ece"):
        figure = metrics["figures"].get(name)
        if figure:
            out.line(f"{name:12} {show(figure, metrics)}")
    if metrics["guessing"] and metrics["guessing"]["says"]:
        out.line(metrics["guessing"]["says"], style="bold red")
    for name in ("report.html", *(["report.pdf"] if pdf else [])):
        out.line(f"report: {target / name}")
