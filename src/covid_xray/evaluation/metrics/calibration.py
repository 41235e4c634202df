"""Fit a temperature to labelled probabilities, measure calibration, and adapt probabilities to other prevalences.

The temperature is fitted on validation or calibration images. It changes confidence, never the most probable class.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize_scalar

from covid_xray.errors import InputRefused, UsageError
from covid_xray.evaluation.metrics.metrics import ECE_BINS, Floats, check_arguments, compute
from covid_xray.evaluation.metrics.subgroups import SMALLEST
from covid_xray.evaluation.predictions import Predictions, probability_columns
from covid_xray.inference.networks.network import calibrate

LIMITS = (0.05, 20.0)  # of the temperature; an optimum at an end does not count
SMALLEST_P = 1e-30  # as in `inference.predictor.calibrate`, so that what is fitted is what is applied
MEASURES = ("nll", "brier", "ece")


def apply_temperature(probabilities: ArrayLike, *, temperature: float) -> Floats:
    """Return softmax(log p / T) of N x C probabilities in float64 (Guo and others 2017); T > 1 lowers confidence."""
    logits = np.log(np.clip(np.asarray(probabilities, dtype=np.float64), SMALLEST_P, 1.0)) / temperature
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def fit_temperature(labels: ArrayLike, probabilities: ArrayLike) -> float | None:
    """Return the temperature with the lowest NLL, or `None` where no minimum lies between 0.05 and 20.

    There is none when every image is classified correctly: the NLL then falls without end as T goes to 0.

    Args:
        labels: N class codes.
        probabilities: N x C, uncalibrated.

    Raises:
        ValueError: as `metrics.compute`.
    """
    p = np.asarray(probabilities)
    codes, p = check_arguments(labels, p, [str(c) for c in range(p.shape[-1])])
    logits = np.log(np.clip(p, SMALLEST_P, 1.0))
    rows = np.arange(len(codes))

    def nll(log_temperature: float) -> float:
        z = logits / np.exp(log_temperature)
        z = z - z.max(axis=1, keepdims=True)
        return float((np.log(np.exp(z).sum(axis=1)) - z[rows, codes]).mean())

    # The NLL is convex in 1/T, and its slopes at both ends say whether the minimum lies between them: without an error
    # it falls for ever as T goes to 0, with truths less likely than chance it falls for ever as T grows.
    truth = logits[rows, codes]
    if (logits.max(axis=1) - truth).max() <= 0 or truth.mean() <= logits.mean():
        return None
    low, high = np.log(LIMITS)
    found = minimize_scalar(nll, bounds=(low, high), method="bounded", options={"xatol": 1e-8})
    inside = low + 1e-3 < found.x < high - 1e-3
    return float(np.exp(found.x)) if inside else None


def adaptive_ece(labels: ArrayLike, probabilities: ArrayLike, *, bins: int = ECE_BINS) -> float:
    """Return the expected calibration error, 0..1, over bins of about equal size (Nguyen and O'Connor 2015).

    Equal confidences always share a bin, so the order of the images does not matter.
    """
    p = np.asarray(probabilities, dtype=np.float64)
    codes, p = check_arguments(labels, p, [str(c) for c in range(p.shape[-1])])
    confidence, right = p.max(axis=1), p.argmax(axis=1) == codes
    edges = np.quantile(confidence, np.linspace(0, 1, bins + 1))
    of_bin = np.searchsorted(edges[1:-1], confidence, side="left")
    gaps = np.bincount(of_bin, weights=right - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(codes))


def calibration_measures(labels: ArrayLike, probabilities: ArrayLike, classes: Sequence[str]) -> dict[str, float]:
    """Return nll, brier and ece as `metrics.compute` does, and ece_adaptive."""
    found = compute(labels, probabilities, classes)
    kept = {name: found[name] for name in MEASURES}
    return {**kept, "ece_adaptive": adaptive_ece(labels, probabilities)}


def fit_calibration(predictions: Predictions) -> dict[str, Any]:
    """Fit the temperature and return what the bundle stores under `calibration`.

    Args:
        predictions: of the uncalibrated network on validation or calibration images.

    Returns:
        `temperature` (1 where none could be fitted; `note` says why), `images`, `labels` (class to images), and the
        calibration measures `before` and `after`.

    Raises:
        InputRefused: fewer than 20 images, or a class without images (code `too-few`).
    """
    labels, p, classes = predictions.labels, predictions.probabilities, predictions.classes
    counts = np.bincount(labels, minlength=len(classes))
    if len(labels) < SMALLEST or not counts.all():
        absent = ", ".join(name for name, count in zip(classes, counts, strict=True) if not count)
        raise InputRefused(
            f"Too few images to calibrate on: {len(labels)}{f', none of {absent}' if absent else ''}. "
            f"Give at least {SMALLEST}, some of every class.",
            code="too-few",
        )
    fitted = fit_temperature(labels, p)
    temperature = 1.0 if fitted is None else fitted
    note = (
        ""
        if fitted is not None
        else (
            f"no temperature between {LIMITS[0]:g} and {LIMITS[1]:g} is the best one (with every image named rightly "
            "there is none), so the probabilities stay as they are"
        )
    )
    return {
        "temperature": temperature,
        "images": len(labels),
        "labels": {name: int(count) for name, count in zip(classes, counts, strict=True)},
        "before": calibration_measures(labels, p, classes),
        "after": calibration_measures(labels, apply_temperature(p, temperature=temperature), classes),
        "note": note,
    }


def calibrate_predictions(predictions: Predictions, *, temperature: float) -> Predictions:
    """Apply the temperature to uncalibrated predictions, bit for bit as the predictor does."""
    columns = probability_columns(predictions.classes)
    values = calibrate(predictions.probabilities.astype(np.float32), temperature=temperature).astype(np.float64)
    return replace(predictions, table=predictions.table.assign(**dict(zip(columns, values.T, strict=True))))


def compare_calibration(predictions: Predictions, *, temperature: float) -> dict[str, Any]:
    """Return the calibration measures of tested images with and without the temperature.

    Args:
        predictions: calibrated with `temperature`; the uncalibrated ones are computed back from them.
        temperature: of the bundle.
    """
    labels, p, classes = predictions.labels, predictions.probabilities, predictions.classes
    raw = p if temperature == 1.0 else apply_temperature(p, temperature=1 / temperature)
    before, after = (calibration_measures(labels, values, classes) for values in (raw, p))
    return {"temperature": temperature, "before": before, "after": after}


def reweight_to_prevalence(probabilities: ArrayLike, *, old: ArrayLike, new: ArrayLike) -> Floats:
    """Adapt probabilities to a population with other class prevalences (Saerens, Latinne and Decaestecker 2002).

    p'(c) is proportional to p(c) new(c) / old(c). Valid where only the prevalences differ (label shift) and the
    probabilities are calibrated for the old ones.

    Args:
        probabilities: N x C.
        old: C prevalences above 0 that the probabilities are calibrated for.
        new: C prevalences, 0 or more, of the other population.

    Raises:
        ValueError: prevalences out of range or not summing to 1.
    """
    before, after = (np.asarray(values, dtype=np.float64) for values in (old, new))
    for values in (before, after):
        if (values < 0).any() or abs(values.sum() - 1) > 1e-6:
            raise ValueError(f"Invalid prevalences: {values.tolist()}. Give values of 0 or more that sum to 1.")
    if not (before > 0).all():
        raise ValueError(f"An old prevalence is 0: {before.tolist()}. All must be above 0.")
    moved = np.asarray(probabilities, dtype=np.float64) * (after / before)
    total = moved.sum(axis=1, keepdims=True)
    return np.divide(moved, total, out=np.broadcast_to(after, moved.shape).copy(), where=total > 0)


def parse_prevalence(text: str, classes: Sequence[str], *, old: Mapping[str, float]) -> Floats:
    """Parse `covid=0.05,virus=0.1` into C prevalences; classes not named share the rest in proportion to `old`.

    Raises:
        UsageError: an unknown class, a share outside 0..1, or shares that cannot sum to 1.
    """
    given: dict[str, float] = {}
    for part in text.split(","):
        name, _, value = (piece.strip() for piece in part.partition("="))
        try:
            given[name] = float(value)
        except ValueError:
            raise UsageError(f"Invalid prevalence: {part!r}. Give class=share.") from None
        if name not in classes or not 0 <= given[name] <= 1:
            raise UsageError(f"Invalid prevalence: {part!r}. Give one of {', '.join(classes)} with a share in 0..1.")
    rest, others = 1 - sum(given.values()), [name for name in classes if name not in given]
    share = sum(old[name] for name in others)
    if rest < -1e-9 or (not share and rest > 1e-9):
        raise UsageError(f"The prevalences do not sum to 1: {text}.")
    return np.array([given[name] if name in given else max(rest, 0.0) * old[name] / share for name in classes])
