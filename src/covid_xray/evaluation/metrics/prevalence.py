"""Estimate performance in a population with another class mix, from the test images.

Assumes label shift: only the prevalences differ, each class looks the same.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from covid_xray.bundle.contents import Calibration
from covid_xray.errors import UsageError
from covid_xray.evaluation.metrics.calibration import reweight_to_prevalence
from covid_xray.evaluation.metrics.intervals import Interval, bootstrap, group_codes, percentiles, resampled_sums
from covid_xray.evaluation.metrics.metrics import Floats, prepare, ratio, weighted
from covid_xray.evaluation.metrics.operating_points import OneVsRest, achieved_rates
from covid_xray.evaluation.predictions import Predictions, probability_columns

PREVALENCES = (0.01, 0.05, 0.10, 0.20, 0.50)
BEFORE = ("accuracy", "balanced_accuracy", "macro_f1", "nll", "brier", "ece")
Facts = dict[str, Any]


def predictive_values(sensitivity: Floats, specificity: Floats, *, prevalence: float) -> tuple[Floats, Floats]:
    """Return PPV and NPV by Bayes' rule, NaN where no one is called positive or negative."""
    hit, alarm = sensitivity * prevalence, (1 - specificity) * (1 - prevalence)
    clear, missed = specificity * (1 - prevalence), (1 - sensitivity) * prevalence
    return ratio(hit, hit + alarm), ratio(clear, clear + missed)


def predictive_values_at(
    about: OneVsRest,
    threshold: float,
    *,
    prevalences: Sequence[float] = PREVALENCES,
    rounds: int = 1000,
    seed: int = 0,
) -> list[Facts]:
    """Return PPV and NPV of a threshold at several prevalences, with intervals over patients.

    Where sensitivity or specificity is exactly 0 or 1 the bootstrap has no spread; PPV and NPV are then computed from
    the interval ends of both (`method` "ends"), which is conservative.

    Returns:
        Rows with `prevalence`, `ppv` and `npv` (figure or `None`); no rows where one side has no image.
    """
    called = about.scores >= threshold
    columns = np.column_stack([called & about.positive, about.positive, ~called & ~about.positive, ~about.positive])
    totals = columns.sum(axis=0).astype(np.float64)
    if not (totals[1] and totals[3]):
        return []
    drawn = _sides(resampled_sums(columns, groups=about.groups, rounds=rounds, seed=seed))
    value = _sides(totals[None])
    certain = bool({float(v[0]) for v in value} & {0.0, 1.0})
    ends = _ends(about, threshold, rounds=rounds, seed=seed) if certain else None
    count = int(group_codes(about.groups, count=len(called)).max()) + 1
    rows = []
    for share in prevalences:
        values = predictive_values(*value, prevalence=share)
        if ends is None:
            spans = [percentiles(v, count=count) for v in predictive_values(*drawn, prevalence=share)]
        else:
            low, high = (predictive_values(*side, prevalence=share) for side in ends)
            spans = [(_number(a), _number(b)) for a, b in zip(low, high, strict=True)]
        found = [_figure(v, span, about, exact=certain) for v, span in zip(values, spans, strict=True)]
        rows.append({"prevalence": share, "ppv": found[0], "npv": found[1]})
    return rows


def calibrated_prevalences(calibration: Calibration | None, predictions: Predictions) -> tuple[Floats, str]:
    """Return the class shares that the probabilities are calibrated for, and their origin in words.

    They are those of the images that the temperature was fitted on, else those of the tested images.

    Raises:
        UsageError: a class without images.
    """
    labels = calibration.labels if calibration else {}
    words = (
        "the images that the temperature was fitted on" if labels else "the images tested (no calibration is stored)"
    )
    counts = np.bincount(predictions.labels, minlength=len(predictions.classes)).astype(np.float64)
    if labels:
        counts = np.array([labels[name] for name in predictions.classes], dtype=np.float64)
    if not counts.all():
        absent = predictions.classes[int(np.argmin(counts))]
        raise UsageError(f"No image of {absent} among {words}. --prevalence needs images of every class.")
    return counts / counts.sum(), words


def image_weights(predictions: Predictions, new: Floats) -> Floats:
    """Return N image weights of mean 1 that give the classes the shares `new`. Raises `UsageError`."""
    shares = np.bincount(predictions.labels, minlength=len(predictions.classes)) / len(predictions.table)
    if (new[shares == 0] > 0).any():
        absent = predictions.classes[int(np.flatnonzero((shares == 0) & (new > 0))[0])]
        raise UsageError(f"No image of {absent} was tested. --prevalence needs images of every class.")
    return np.asarray((new / np.where(shares > 0, shares, 1.0))[predictions.labels], dtype=np.float64)


def reweight_predictions(predictions: Predictions, *, old: Floats, new: Floats) -> Predictions:
    """Return the predictions with the probabilities adapted to the class shares `new`."""
    values = reweight_to_prevalence(predictions.probabilities, old=old, new=new)
    columns = dict(zip(probability_columns(predictions.classes), values.T, strict=True))
    names = [predictions.classes[code] for code in values.argmax(axis=1)]
    return replace(predictions, table=predictions.table.assign(predicted=names, **columns))


def evaluate_at_prevalence(
    predictions: Predictions,
    new: Floats,
    *,
    calibration: Calibration | None,
    groups: NDArray[Any] | None = None,
    rounds: int = 1000,
    seed: int = 0,
) -> Facts:
    """Return the metrics in a population with the class shares `new`, from images weighted to that mix.

    Args:
        predictions: test images, calibrated.
        new: C shares that sum to 1.
        calibration: of the bundle.
        groups, rounds, seed: of the bootstrap.

    Returns:
        As `schema.StatedPopulation`: metrics of the adapted probabilities, and of the probabilities `as_they_are`.
    """
    old, words = calibrated_prevalences(calibration, predictions)
    weights = image_weights(predictions, new)
    after = reweight_predictions(predictions, old=old, new=new)
    found = bootstrap(
        after.labels, after.probabilities, after.classes, groups=groups, weights=weights, rounds=rounds, seed=seed
    )
    plain = weighted(prepare(predictions.labels, predictions.probabilities, predictions.classes), weights[None])
    tested = np.bincount(predictions.labels, minlength=len(predictions.classes)) / len(predictions.table)
    mixes = {"stated": new, "calibrated_for": old, "tested": tested}
    named = {key: dict(zip(predictions.classes, map(float, mix), strict=True)) for key, mix in mixes.items()}
    return {
        **named,
        "calibrated_for_means": words,
        "figures": {name: interval.as_dict() for name, interval in found.items()},
        "as_they_are": {name: float(plain[name][0]) for name in BEFORE if np.isfinite(plain[name][0])},
    }


def _sides(sums: Floats) -> tuple[Floats, Floats]:
    return ratio(sums[:, 0], sums[:, 1]), ratio(sums[:, 2], sums[:, 3])


def _ends(about: OneVsRest, threshold: float, *, rounds: int, seed: int) -> list[tuple[Floats, Floats]]:
    """Return sensitivity and specificity at the low, then at the high interval ends; NaN where there is none."""
    found = achieved_rates(about, threshold, rounds=rounds, seed=seed)
    sides = [found[name] for name in ("sensitivity", "specificity")]
    low, high = ([np.array([side[end]], dtype=np.float64) for side in sides] for end in ("ci_low", "ci_high"))
    return [(low[0], low[1]), (high[0], high[1])]


def _number(values: Floats) -> float | None:
    return float(values[0]) if np.isfinite(values[0]) else None


def _figure(values: Floats, span: tuple[float | None, float | None], about: OneVsRest, *, exact: bool) -> Facts | None:
    """Return a figure as metrics.json holds it, or `None` where it is undefined."""
    value = _number(values)
    if value is None:
        return None
    codes = group_codes(about.groups, count=len(about.scores))
    unit = "images" if about.groups is None else "patients"
    return Interval(value, *span, int(codes.max()) + 1, unit, "ends" if exact else "bootstrap").as_dict()
