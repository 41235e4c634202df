"""A bundle and images that it was not trained on in; temperature, conformal sets and operating points in it out.

`covid-xray calibrate` and the end of training both come here. The network itself stays as it is.
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from covid_xray.bundle.bundle import load_bundle, record
from covid_xray.data.manifest.manifest import Manifest
from covid_xray.errors import InputRefused, UsageError
from covid_xray.evaluation.metrics.calibration import calibration_facts, with_temperature
from covid_xray.evaluation.metrics.conformal import conformal_facts
from covid_xray.evaluation.metrics.operating_points import operating_points, positives, side
from covid_xray.evaluation.metrics.subgroups import patients
from covid_xray.evaluation.predictions import Predictions, Progress, predict_manifest
from covid_xray.inference.prediction_sets import METHODS
from covid_xray.inference.predictor import Predictor

Facts = dict[str, Any]


@dataclass(frozen=True)
class Wishes:
    """What is fitted.

    Args:
        coverage: share of sets that hold the true class.
        method: of the sets, one of `prediction_sets.METHODS`.
        positive: classes to choose operating points for; empty for covid where there is one.
        rounds, seed: of the bootstrap.
    """

    coverage: float = 0.9
    method: str = "lac"
    positive: tuple[str, ...] = ()
    rounds: int = 1000
    seed: int = 0


def fit(
    folder: Path, manifest: Manifest, *, part: str, wishes: Wishes | None = None, progress: Progress | None = None
) -> Facts:
    """Fit everything on the images of `manifest` and record it in the bundle in `folder`; returns what was recorded.

    Args:
        folder: of the bundle.
        manifest: calibration or validation images; never test images, which must stay unseen, nor training images, of
            which a network is too sure.
        part: the name of these images' part.
        wishes: what is fitted.
        progress: called with (images done, images in all).

    Raises:
        UsageError: a method or class that does not exist.
        InputRefused: too few images (code `too-few`); the bundle stays as it was.
    """
    wishes = wishes or Wishes()
    bundle = load_bundle(folder)
    if wishes.method not in METHODS:
        raise UsageError(f"expected --method {', '.join(METHODS)}. Received: {wishes.method}")
    positives(bundle.classes, wishes.positive)
    raw = Predictor(dataclasses.replace(bundle, temperature=1.0))
    predictions = predict_manifest(raw, manifest, progress=progress)
    facts = fitted(predictions, manifest, sha256=bundle.sha256, part=part, wishes=wishes)
    record(folder, **facts)
    return facts


def fitted(predictions: Predictions, manifest: Manifest, *, sha256: str, part: str, wishes: Wishes) -> Facts:
    """`temperature`, `calibration`, `conformal` and `operating_points` for `bundle.json`; arguments as for `fit`.

    Args:
        predictions: of the uncalibrated network.
        manifest: their patients and sources.
        sha256: of the network.
        part, wishes: as for `fit`.
    """
    calibration = {"part": part, "failed": len(predictions.failures), **calibration_facts(predictions)}
    temperature = calibration["temperature"]
    tempered = with_temperature(predictions, temperature=temperature)
    conformal = {"part": part, **conformal_facts(tempered, coverage=wishes.coverage, method=wishes.method)}
    table, groups = tempered.table, patients(tempered, manifest)
    sources = list(table["source"]) if "source" in table and (table["source"] != "").any() else None
    draws: Facts = {"rounds": wishes.rounds, "seed": wishes.seed}
    points = {
        name: operating_points(
            side(tempered, name, groups=groups, sources=sources),
            sha256=sha256, temperature=temperature, part=part, **draws,
        )
        for name in positives(tempered.classes, wishes.positive)
    }  # fmt: skip
    return {
        "temperature": temperature, "calibration": calibration, "conformal": conformal, "operating_points": points,
    }  # fmt: skip


def fit_or_say(folder: Path, manifest: Manifest, *, part: str, progress: Progress | None = None) -> str:
    """As `fit`, but too few images leave the bundle uncalibrated; returns in words what was done, or why not."""
    try:
        facts = fit(folder, manifest, part=part, progress=progress)
    except InputRefused as error:
        return f"not calibrated: {error.message}"
    return f"temperature {facts['temperature']:.3f}, {summary(facts)}"


def summary(facts: Facts) -> str:
    """The sets and points that were recorded, as one line for people."""
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
