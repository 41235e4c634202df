"""Labelled probabilities in, a temperature and how honest they are before and after it out; and other prevalences.

The temperature is fitted on validation or calibration images only. It changes no label, only how sure the answers are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize_scalar

from covid_xray.errors import InputRefused, UsageError
from covid_xray.evaluation.metrics.metrics import ECE_BINS, Floats, checked, compute
from covid_xray.evaluation.metrics.subgroups import SMALLEST
from covid_xray.evaluation.predictions import Predictions, probability_columns
from covid_xray.inference.predictor import calibrate

LIMITS = (0.05, 20.0)  # of the temperature; an optimum at an end is none
SMALLEST_P = 1e-30  # as in `inference.predictor.calibrate`, so that what is fitted is what is applied
MEASURES = ("nll", "brier", "ece")


def scaled(probabilities: ArrayLike, *, temperature: float) -> Floats:
    """softmax(log p / T) of N x C probabilities (Guo and others 2017), in float64; T > 1 makes them less sure."""
    logits = np.log(np.clip(np.asarray(probabilities, dtype=np.float64), SMALLEST_P, 1.0)) / temperature
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def fit_temperature(labels: ArrayLike, probabilities: ArrayLike) -> float | None:
    """The temperature with the least NLL, or `None` where there is none between 0.05 and 20.

    There is none where every image is named rightly: the surer, the better then, without end.

    Args:
        labels: N class codes.
        probabilities: N x C as the network gives them, before any temperature.

    Raises:
        ValueError: what `metrics.compute` refuses.
    """
    p = np.asarray(probabilities)
    codes, p = checked(labels, p, [str(c) for c in range(p.shape[-1])])
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
    """Expected calibration error over bins of (nearly) equally many images (Nguyen and O'Connor 2015), 0..1.

    Equal confidences are never put in two bins, so that the order of the images does not matter.

    Args:
        labels: N class codes.
        probabilities: N x C.
        bins: how many at most.
    """
    p = np.asarray(probabilities, dtype=np.float64)
    codes, p = checked(labels, p, [str(c) for c in range(p.shape[-1])])
    confidence, right = p.max(axis=1), p.argmax(axis=1) == codes
    edges = np.quantile(confidence, np.linspace(0, 1, bins + 1))
    of_bin = np.searchsorted(edges[1:-1], confidence, side="left")
    gaps = np.bincount(of_bin, weights=right - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(codes))


def honesty(labels: ArrayLike, probabilities: ArrayLike, classes: Sequence[str]) -> dict[str, float]:
    """nll, brier and ece as in `metrics.compute`, and ece_adaptive."""
    found = compute(labels, probabilities, classes)
    kept = {name: found[name] for name in MEASURES}
    return {**kept, "ece_adaptive": adaptive_ece(labels, probabilities)}


def calibration_facts(predictions: Predictions) -> dict[str, Any]:
    """What `covid-xray calibrate` stores under `calibration`, with the temperature.

    Args:
        predictions: of the uncalibrated network on validation or calibration images.

    Returns:
        `temperature` (1 where none could be fitted, and then `note` says so), `images`, `labels` (class to images),
        `before` and `after` (`honesty`).

    Raises:
        InputRefused: fewer than 20 images, or a class without any.
    """
    labels, p, classes = predictions.labels, predictions.probabilities, predictions.classes
    counts = np.bincount(labels, minlength=len(classes))
    if len(labels) < SMALLEST or not counts.all():
        absent = [name for name, count in zip(classes, counts, strict=True) if not count]
        raise InputRefused(
            f"expected at least {SMALLEST} images to calibrate on, some of every class. Received: {len(labels)}"
            + (f", none of {', '.join(absent)}" if absent else ""),
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
        "before": honesty(labels, p, classes),
        "after": honesty(labels, scaled(p, temperature=temperature), classes),
        "note": note,
    }


def with_temperature(predictions: Predictions, *, temperature: float) -> Predictions:
    """The predictions of the uncalibrated network as the predictor gives them with the temperature, to the last bit."""
    columns = probability_columns(predictions.classes)
    values = calibrate(predictions.probabilities.astype(np.float32), temperature=temperature).astype(np.float64)
    return replace(predictions, table=predictions.table.assign(**dict(zip(columns, values.T, strict=True))))


def before_and_after(predictions: Predictions, *, temperature: float) -> dict[str, Any]:
    """`honesty` of tested images with and without the temperature that their probabilities already hold.

    Args:
        predictions: calibrated; the raw ones are those to the power of the temperature, normalised.
        temperature: of the bundle.
    """
    labels, p, classes = predictions.labels, predictions.probabilities, predictions.classes
    raw = p if temperature == 1.0 else scaled(p, temperature=1 / temperature)
    before, after = (honesty(labels, values, classes) for values in (raw, p))
    return {"temperature": temperature, "before": before, "after": after}


def reweighted(probabilities: ArrayLike, *, old: ArrayLike, new: ArrayLike) -> Floats:
    """Probabilities for a population with other prevalences (Saerens, Latinne and Decaestecker 2002).

    p'(c) is proportional to p(c) new(c) / old(c). It holds where only the mix of classes changes and each class still
    looks the same, and where the probabilities are calibrated for the old mix.

    Args:
        probabilities: N x C.
        old: C prevalences that the probabilities were calibrated for, above 0.
        new: C prevalences where they are to be used, 0 or more.

    Raises:
        ValueError: prevalences that do not sum to 1 or are out of range.
    """
    before, after = (np.asarray(values, dtype=np.float64) for values in (old, new))
    for values in (before, after):
        if (values < 0).any() or abs(values.sum() - 1) > 1e-6:
            raise ValueError(f"expected prevalences of 0 or more that sum to 1. Received: {values.tolist()}")
    if not (before > 0).all():
        raise ValueError(f"expected old prevalences above 0. Received: {before.tolist()}")
    moved = np.asarray(probabilities, dtype=np.float64) * (after / before)
    total = moved.sum(axis=1, keepdims=True)
    return np.divide(moved, total, out=np.broadcast_to(after, moved.shape).copy(), where=total > 0)


def read_prevalence(text: str, classes: Sequence[str], *, old: Mapping[str, float]) -> Floats:
    """`covid=0.05,virus=0.1` as C prevalences; classes that are not named share the rest as in `old`.

    Raises:
        UsageError: an unknown class, no number in 0..1, or a sum that is not (or leaves less than nothing to) 1.
    """
    given: dict[str, float] = {}
    for part in text.split(","):
        name, _, value = (piece.strip() for piece in part.partition("="))
        try:
            given[name] = float(value)
        except ValueError:
            raise UsageError(f"expected prevalences as class=share. Received: {part!r}") from None
        if name not in classes or not 0 <= given[name] <= 1:
            raise UsageError(f"expected one of {', '.join(classes)} with a share in 0..1. Received: {part!r}")
    rest, others = 1 - sum(given.values()), [name for name in classes if name not in given]
    share = sum(old[name] for name in others)
    if rest < -1e-9 or (not share and rest > 1e-9):
        raise UsageError(f"expected shares that sum to 1. Received: {text}")
    return np.array([given[name] if name in given else max(rest, 0.0) * old[name] / share for name in classes])
