"""Predictions in, every figure with a bootstrap interval out. Patients are drawn, not images.

Two radiographs of one patient are not two independent observations; drawing images would make intervals too narrow.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from covid_xray.evaluation.metrics.metrics import Floats, prepare, ratio, weighted

ENOUGH = 0.95  # share of the rounds that must define a figure; a class of one or two patients is missing from more
CHUNK = 1 << 20  # weights in one block, 8 MiB: it stays near the cache and memory stays flat


@dataclass(frozen=True)
class Interval:
    """A figure and how far it may be off.

    Args:
        value: of the data itself.
        low, high: ends of the interval; `None` when over 5 % of the rounds leave the figure undefined, as with
            a class of one or two patients: what is left is no sample of anything.
        n: how many units were drawn from.
        unit: "patients" or "images".
        method: "bootstrap" (expanded percentile), or "exact" (Clopper-Pearson) for a proportion of exactly 0 or 1, of
            which every resample is the same, so that the bootstrap would claim certainty.
    """

    value: float
    low: float | None
    high: float | None
    n: int
    unit: str
    method: str = "bootstrap"

    def as_dict(self) -> dict[str, Any]:
        """As `metrics.json` holds it."""
        facts = {"value": self.value, "ci_low": self.low, "ci_high": self.high}
        return {**facts, "n": self.n, "unit": self.unit, "method": self.method}


def bootstrap(
    labels: ArrayLike,
    probabilities: ArrayLike,
    classes: Sequence[str],
    *,
    groups: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    rounds: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> dict[str, Interval]:
    """Every figure of `metrics.compute` with a percentile bootstrap interval (Efron 1979; clusters: Field, Welsh 2007).

    A drawn patient comes with all images. 5,000 images and 1,000 rounds take a few seconds on one core.

    Args:
        labels: N class codes.
        probabilities: N x C.
        classes: C names.
        groups: N patient names or numbers; `None` draws images.
        weights: N, above 0: what an image counts, for a population with another mix; `None` counts all the same.
        rounds: resamples, 1 or more.
        seed: of the random numbers; the same seed gives the same interval.
        level: share of the distribution inside the interval, in 0..1.

    Raises:
        ValueError: what `metrics.compute` refuses, `groups` of another length, a level outside 0..1.
    """
    prepared = prepare(labels, probabilities, classes)
    codes = group_codes(groups, count=len(prepared.sums))
    if not 0 < level < 1 or rounds < 1:
        raise ValueError(f"expected a level in 0..1 and rounds >= 1. Received: level={level}, rounds={rounds}")
    each = np.ones(len(codes)) if weights is None else np.asarray(weights, dtype=np.float64)
    values = weighted(prepared, each[None])
    blocks = [weighted(prepared, drawn * each) for drawn in resamples(codes, rounds=rounds, seed=seed)]
    drawn = {name: np.concatenate([block[name] for block in blocks]) for name in values}
    plain = {name: float(value[0]) for name, value in values.items() if np.isfinite(value[0])}
    sides = denominators(np.asarray(labels), np.asarray(probabilities), classes)
    return summarised(plain, drawn, sides, codes=codes, unit=unit_of(groups), level=level)


def unit_of(groups: ArrayLike | None) -> str:
    """What is drawn: "patients", or "images" where no patient is known."""
    return "images" if groups is None else "patients"


def summarised(
    values: Mapping[str, float],
    drawn: Mapping[str, Floats],
    sides: Mapping[str, NDArray[np.bool_]],
    *,
    codes: NDArray[np.int64],
    unit: str,
    level: float = 0.95,
) -> dict[str, Interval]:
    """Intervals of figures out of their values in the rounds of a bootstrap.

    Args:
        values: of the data itself, finite.
        drawn: each figure in R rounds, NaN where undefined.
        sides: for figures that are plain proportions, of which of the N images.
        codes: N patients (or images) as numbers.
        unit: "patients" or "images".
        level: share of the distribution inside the interval.
    """
    count = len(np.unique(codes))
    found = {
        name: Interval(value, *percentiles(drawn[name], level, count=count), count, unit)
        for name, value in values.items()
    }
    return {name: _not_certain(interval, sides.get(name), codes, level) for name, interval in found.items()}


def resamples(codes: NDArray[np.int64], *, rounds: int, seed: int) -> Iterator[Floats]:
    """Weights of the images in each round, in blocks of R x N: how often the image's group was drawn.

    Args:
        codes: N group numbers, 0..G-1, each used at least once; G groups are drawn with replacement in each round.
        rounds: rows of all blocks together.
        seed: of the random numbers; block sizes do not change them.
    """
    for times in _draws(int(codes.max()) + 1, rounds=rounds, seed=seed, step=max(1, CHUNK // len(codes))):
        yield times[:, codes].astype(np.float64)


def resampled_sums(columns: ArrayLike, *, groups: ArrayLike | None = None, rounds: int = 1000, seed: int = 0) -> Floats:
    """Sums of K columns in each round, R x K; the same seed draws the same patients as `bootstrap` does.

    Args:
        columns: N x K, such as 0 or 1 for what is counted.
        groups, rounds, seed: as for `bootstrap`.
    """
    values = np.asarray(columns, dtype=np.float64)
    codes = group_codes(groups, count=len(values))
    # Sums of each patient first: a round then costs as many steps as there are patients.
    order = np.argsort(codes, kind="stable")
    of_group = np.add.reduceat(values[order], np.searchsorted(codes[order], np.arange(codes.max() + 1)), axis=0)
    step = max(1, CHUNK // len(of_group))
    draws = _draws(len(of_group), rounds=rounds, seed=seed, step=step)
    return np.concatenate([times.astype(np.float64) @ of_group for times in draws])  # integers would multiply slowly


def proportions(
    parts: Mapping[str, tuple[ArrayLike, ArrayLike]],
    *,
    groups: ArrayLike | None = None,
    rounds: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> dict[str, Interval]:
    """Shares such as a sensitivity, each with its interval as in `bootstrap`; one of nothing is absent.

    Args:
        parts: name to (N true where it counts, N true where it is one of those that it is a share of).
        groups, rounds, seed, level: as for `bootstrap`.
    """
    given = {name: (np.asarray(hit, dtype=bool), np.asarray(of, dtype=bool)) for name, (hit, of) in parts.items()}
    masks = {name: (hit & of, of) for name, (hit, of) in given.items() if of.any()}
    if not masks:
        return {}
    columns = np.column_stack([column for pair in masks.values() for column in pair])
    codes = group_codes(groups, count=len(columns))
    sums = resampled_sums(columns, groups=groups, rounds=rounds, seed=seed)
    drawn = {name: ratio(sums[:, 2 * k], sums[:, 2 * k + 1]) for k, name in enumerate(masks)}
    values = {name: float(hit.sum() / of.sum()) for name, (hit, of) in masks.items()}
    sides = {name: of for name, (_, of) in masks.items()}
    return summarised(values, drawn, sides, codes=codes, unit=unit_of(groups), level=level)


def _draws(count: int, *, rounds: int, seed: int, step: int) -> Iterator[NDArray[np.int64]]:
    """How often each of `count` units was drawn, in blocks of at most `step` rounds."""
    random = np.random.default_rng(seed)
    for first in range(0, rounds, step):
        rows = min(step, rounds - first)
        drawn = random.integers(count, size=(rows, count)) + count * np.arange(rows)[:, None]
        yield np.bincount(drawn.ravel(), minlength=rows * count).reshape(rows, count)


def group_codes(groups: ArrayLike | None, *, count: int) -> NDArray[np.int64]:
    """Groups as numbers 0..G-1; every image is its own group when there are none."""
    if groups is None:
        return np.arange(count)
    names = np.asarray(groups)
    if names.shape != (count,):
        raise ValueError(f"expected {count} groups. Received: {names.shape}")
    return np.unique(names, return_inverse=True)[1].astype(np.int64)


def percentiles(drawn: Floats, level: float = 0.95, *, count: int | None = None) -> tuple[float | None, float | None]:
    """Ends of the percentile interval, or two `None` where over 5 % of the rounds are NaN.

    Args:
        drawn: a figure in R rounds.
        level: share of the distribution inside the interval.
        count: of the units that were drawn; the interval is `expanded` for it.
    """
    defined = drawn[np.isfinite(drawn)]
    if len(defined) < ENOUGH * len(drawn):
        return None, None
    low, high = quantiles(defined, expanded(level, count) if count else level)
    return float(low), float(high)


def quantiles(drawn: Floats, level: float) -> Floats:
    """Ends between which `level` of the distribution lies, over the first axis of R rounds.

    Between the k-th and l-th of R draws lie (l - k) / (R + 1) of it on average; NumPy's default takes R - 1, and with
    400 rounds gives intervals that hold half a per cent too little.
    """
    return np.asarray(np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2], axis=0, method="weibull"))


def expanded(level: float, count: int) -> float:
    """The level to take so that the interval of `count` units holds `level` (Hesterberg 2015, "expanded percentile").

    The bootstrap's own spread is too small by sqrt((n - 1) / n), and it takes normal for what has the t distribution.
    """
    from scipy.stats import norm, t

    if count < 2:
        return level
    reach = t.ppf((1 + level) / 2, count - 1) * np.sqrt(count / (count - 1))
    return float(2 * norm.cdf(reach) - 1)


def denominators(
    labels: NDArray[np.int64], probabilities: Floats, classes: Sequence[str]
) -> dict[str, NDArray[np.bool_]]:
    """For each figure that is a plain proportion, which of the N images it is a proportion of."""
    predicted = probabilities.argmax(axis=1)
    masks = {"accuracy": np.ones(len(labels), dtype=bool)}
    for code, name in enumerate(classes):
        masks[f"sensitivity/{name}"] = labels == code
        masks[f"specificity/{name}"] = labels != code
        masks[f"precision/{name}"] = predicted == code
    return masks


def _not_certain(found: Interval, mask: NDArray[np.bool_] | None, codes: NDArray[np.int64], level: float) -> Interval:
    """A proportion of exactly 0 or 1 gets the Clopper-Pearson interval, each patient counted once."""
    if mask is None or found.value not in (0.0, 1.0):
        return found
    reach = float(((1 - level) / 2) ** (1 / len(np.unique(codes[mask]))))
    low, high = (reach, 1.0) if found.value == 1.0 else (0.0, 1.0 - reach)
    return replace(found, low=low, high=high, method="exact")
