"""Compute the net benefit of acting on the probability of one class (decision curve analysis).

Net benefit at threshold t (Vickers and Elkin 2006) weights a false alarm by t / (1 - t) of a hit: acting at 0.1 means
accepting nine needless actions to catch one case.
"""

from typing import Any

import numpy as np

from covid_xray.evaluation.metrics.intervals import MIN_DEFINED, expanded_level, group_codes, quantiles, resampled_sums
from covid_xray.evaluation.metrics.metrics import Floats, ratio
from covid_xray.evaluation.metrics.operating_points import OneVsRest

THRESHOLDS = np.arange(1, 100) / 100
DIGITS = 6
LEVEL = 0.95
Facts = dict[str, Any]


def net_benefit(hits: Floats, alarms: Floats, prevalence: Floats) -> Floats:
    """Return the net benefit per person, R x T, at `THRESHOLDS`.

    Args:
        hits: R x T, share of the positives that are called positive.
        alarms: R x T, share of the negatives that are called positive.
        prevalence: R x 1 or 1 x 1, share of positives.
    """
    odds = THRESHOLDS / (1 - THRESHOLDS)
    return np.asarray(prevalence * hits - (1 - prevalence) * alarms * odds, dtype=np.float64)


def decision_curve(
    about: OneVsRest,
    *,
    weights: Floats | None = None,
    prevalence: float | None = None,
    rounds: int = 1000,
    seed: int = 0,
) -> Facts | None:
    """Return the net benefit of the network and of treating all, with pointwise 95 % bands over patients.

    Args:
        about: test images; a probability at or above the threshold counts as positive.
        weights: N image weights for a population with another class mix; `None` for equal weights.
        prevalence: share of positives in that population; `None` for that of the tested images.
        rounds, seed: of the bootstrap.

    Returns:
        As `schema.DecisionCurve`; `None` where one side has no image.
    """
    if about.positive.all() or not about.positive.any():
        return None
    each = np.ones(len(about.scores)) if weights is None else weights
    columns = _columns(about, each)
    value = _curves(columns.sum(axis=0)[None], prevalence)
    drawn = _curves(resampled_sums(columns, groups=about.groups, rounds=rounds, seed=seed), prevalence)
    count = int(group_codes(about.groups, count=len(each)).max()) + 1
    bands = {name: _band(drawn[name], count) for name in ("model", "gain")}
    held = [low is not None and low > 0 for low in bands["gain"]["ci_low"]]
    share = float(each[about.positive].sum() / each.sum()) if prevalence is None else prevalence
    return {
        "prevalence": share,
        "thresholds": THRESHOLDS.tolist(),
        "model": {"value": _rounded(value["model"][0]), **bands["model"]},
        "treat_all": {"value": _rounded(value["treat_all"][0])},
        "treat_none": 0.0,
        "gain": {"value": _rounded(value["gain"][0]), **bands["gain"]},
        "useful": _ranges(held),
    }


def _columns(about: OneVsRest, each: Floats) -> Floats:
    """Return N x (2 T + 2) weighted flags: hits and alarms at each threshold, positives, negatives."""
    called = about.scores[:, None] >= THRESHOLDS
    positive = about.positive[:, None]
    flags = np.hstack([called & positive, called & ~positive, positive, ~positive])
    return np.asarray(flags * each[:, None], dtype=np.float64)


def _curves(sums: Floats, prevalence: float | None) -> dict[str, Floats]:
    """Return the R x T net benefits of R rows of sums; NaN where a resample lacks positives or negatives."""
    count = len(THRESHOLDS)
    positives, negatives = sums[:, -2:-1], sums[:, -1:]
    share = ratio(positives, positives + negatives) if prevalence is None else np.full_like(positives, prevalence)
    hits, alarms = sums[:, :count], sums[:, count : 2 * count]
    model = net_benefit(
        ratio(hits, np.broadcast_to(positives, hits.shape)),
        ratio(alarms, np.broadcast_to(negatives, hits.shape)),
        share,
    )
    everyone = np.ones((len(sums), count))
    treat_all = net_benefit(everyone, everyone, share)
    return {"model": model, "treat_all": treat_all, "gain": model - np.maximum(treat_all, 0)}


def _band(drawn: Floats, count: int) -> dict[str, Any]:
    # A resample without a positive or a negative is NaN at every threshold.
    defined = drawn[np.isfinite(drawn).all(axis=1)]
    if len(defined) < MIN_DEFINED * len(drawn):
        return {"ci_low": [None] * drawn.shape[1], "ci_high": [None] * drawn.shape[1], "n": count}
    low, high = quantiles(defined, expanded_level(LEVEL, count))
    return {"ci_low": _rounded(low), "ci_high": _rounded(high), "n": count}


def _rounded(values: Floats) -> list[float]:
    return [round(float(value), DIGITS) for value in values]


def _ranges(held: list[bool]) -> list[list[float]]:
    """Return first and last threshold of each run of true values."""
    marks = np.diff(np.array([0, *held, 0], dtype=int))
    starts, ends = np.flatnonzero(marks == 1), np.flatnonzero(marks == -1) - 1
    return [[float(THRESHOLDS[a]), float(THRESHOLDS[b])] for a, b in zip(starts, ends, strict=True)]
