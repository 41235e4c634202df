"""Fit temperature, conformal sets and operating points of a bundle and store them in it."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from covid_xray.bundle.bundle import load_bundle, record
from covid_xray.data.manifest.manifest import Manifest
from covid_xray.errors import InputRefused, UsageError
from covid_xray.evaluation.metrics.calibration import calibrate_predictions, fit_calibration
from covid_xray.evaluation.metrics.conformal import fit_conformal
from covid_xray.evaluation.metrics.operating_points import fit_operating_points, one_vs_rest, positive_classes
from covid_xray.evaluation.metrics.subgroups import patient_groups
from covid_xray.evaluation.predictions import Predictions, Progress, predict_manifest
from covid_xray.inference.prediction_sets import METHODS
from covid_xray.inference.predictor import Predictor

Facts = dict[str, Any]


@dataclass(frozen=True)
class CalibrationSettings:
    """Settings of a calibration."""

    coverage: float = 0.9  # share of sets that hold the true class
    method: str = "lac"  # of the sets, one of `prediction_sets.METHODS`
    positive: tuple[str, ...] = ()  # classes to choose operating points for; empty for covid where there is one
    tta: int = 1  # copies of every input (`inference.networks.tta`); the bundle answers with them afterwards
    rounds: int = 1000  # of the bootstrap
    seed: int = 0


def fit(
    folder: Path,
    manifest: Manifest,
    *,
    part: str,
    wishes: CalibrationSettings | None = None,
    progress: Progress | None = None,
) -> Facts:
    """Fit everything on the images of `manifest`, record it in the bundle in `folder`, and return what was recorded.

    Args:
        folder: of the bundle.
        manifest: calibration or validation images; never training images, on which networks are overconfident, nor
            test images.
        part: name of these images' part.
        wishes: the settings.
        progress: called with (images done, images in all).

    Raises:
        UsageError: an unknown method or class.
        InputRefused: too few images (code `too-few`); the bundle stays unchanged.
    """
    wishes = wishes or CalibrationSettings()
    bundle = load_bundle(folder)
    if wishes.method not in METHODS:
        raise UsageError(f"Unknown method: {wishes.method}. Give --method {', '.join(METHODS)}.")
    positive_classes(bundle.classes, wishes.positive)
    raw = Predictor(replace(bundle, temperature=1.0), tta=wishes.tta)
    predictions = predict_manifest(raw, manifest, progress=progress)
    facts = fit_predictions(predictions, manifest, sha256=bundle.sha256, part=part, wishes=wishes)
    if wishes.tta != bundle.facts.get("tta", 1):
        facts["tta"] = wishes.tta
    record(folder, **facts)
    return facts


def fit_predictions(
    predictions: Predictions, manifest: Manifest, *, sha256: str, part: str, wishes: CalibrationSettings
) -> Facts:
    """Return `temperature`, `calibration`, `conformal` and `operating_points` for bundle.json.

    Args:
        predictions: of the uncalibrated network.
        manifest: their patients and sources.
        sha256: of the network.
        part, wishes: as for `fit`.
    """
    calibration = {"part": part, "failed": len(predictions.failures), **fit_calibration(predictions)}
    temperature = calibration["temperature"]
    tempered = calibrate_predictions(predictions, temperature=temperature)
    conformal = fit_conformal(tempered, coverage=wishes.coverage, method=wishes.method, part=part)
    table, groups = tempered.table, patient_groups(tempered, manifest)
    sources = list(table["source"]) if "source" in table and (table["source"] != "").any() else None
    draws: Facts = {"rounds": wishes.rounds, "seed": wishes.seed}
    points = {
        name: asdict(fit_operating_points(
            one_vs_rest(tempered, name, groups=groups, sources=sources),
            sha256=sha256, temperature=temperature, part=part, **draws,
        ))
        for name in positive_classes(tempered.classes, wishes.positive)
    }  # fmt: skip
    return {
        "temperature": temperature, "calibration": calibration, "conformal": asdict(conformal),
        "operating_points": points,
    }  # fmt: skip


def fit_or_explain(folder: Path, manifest: Manifest, *, part: str, progress: Progress | None = None) -> str:
    """Fit as `fit` does; too few images leave the bundle unchanged. Return in words what was done, or why not."""
    try:
        facts = fit(folder, manifest, part=part, progress=progress)
    except InputRefused as error:
        return f"not calibrated: {error.message}"
    return f"temperature {facts['temperature']:.3f}, {describe_calibration(facts)}"


def describe_calibration(facts: Facts) -> str:
    """Describe the recorded sets and points in one line."""
    conformal = facts["conformal"]
    level = f"{conformal['coverage']:g}"
    words = f"{conformal['method']} sets at {level}: quantile {conformal['quantiles'][conformal['method']][level]:.4f}"
    for name, about in facts["operating_points"].items():
        points = (
            f"{point} {'none' if it['threshold'] is None else format(it['threshold'], '.4f')}"
            for point, it in about["points"].items()
        )
        words += f"; {name}: {', '.join(points)}"
    return words
