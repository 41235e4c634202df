"""Test the difference of two networks on the same images: DeLong for AUROC, McNemar for labels.

Both treat images as independent. Where patients have several images, prefer the paired bootstrap of `model_comparison`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binomtest, norm, rankdata

from covid_xray.evaluation.metrics.metrics import Floats

NOTHING = 1e-12  # a difference or variance below that is rounding


@dataclass(frozen=True)
class AurocDifference:
    """The second AUROC minus the first."""

    first: float  # the two AUROCs, 0..1
    second: float
    difference: float  # second - first
    low: float  # normal interval of the difference; equal to it where its variance is 0
    high: float
    p: float | None  # two-sided, of no difference; `None` where the variance is 0 and the difference is not


@dataclass(frozen=True)
class LabelDifference:
    """McNemar's table: images that only one of two networks classified correctly."""

    only_first: int  # how many
    only_second: int
    p: float  # exact, two-sided; 1 where both counts are 0


def auroc_covariance(positive: ArrayLike, scores: ArrayLike) -> tuple[Floats, Floats]:
    """Return the AUROCs of K networks on the same images, and their K x K covariance (DeLong 1988; Sun and Xu 2014).

    Args:
        positive: N, true for images of the class.
        scores: K x N, any real numbers; ties count half.

    Raises:
        ValueError: fewer than two images of the class or of the rest, or shapes that do not fit.
    """
    mask, s = np.asarray(positive, dtype=bool), np.atleast_2d(np.asarray(scores, dtype=np.float64))
    m, n = int(mask.sum()), int((~mask).sum())
    if s.ndim != 2 or s.shape[1] != len(mask) or min(m, n) < 2:
        raise ValueError(f"Scores {s.shape} of {m} and {n} images. Give K x N scores, two images on each side.")
    inside, outside = s[:, mask], s[:, ~mask]
    joint = rankdata(np.concatenate([inside, outside], axis=1), axis=1)
    # Share of the other side that each image beats: the placement values of DeLong's paper.
    of_positive = (joint[:, :m] - rankdata(inside, axis=1)) / n
    of_negative = 1 - (joint[:, m:] - rankdata(outside, axis=1)) / m
    covariance = np.cov(of_positive) / m + np.cov(of_negative) / n
    return of_positive.mean(axis=1), np.atleast_2d(covariance)


def delong(positive: ArrayLike, first: ArrayLike, second: ArrayLike, *, level: float = 0.95) -> AurocDifference:
    """Test the difference of two AUROCs on the same images.

    Args:
        positive: N, true for images of the class.
        first, second: N scores of each network.
        level: of the interval, in 0..1.

    Raises:
        ValueError: as `auroc_covariance`.
    """
    areas, covariance = auroc_covariance(positive, np.stack([np.asarray(first), np.asarray(second)]))
    difference = float(areas[1] - areas[0])
    variance = float(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    error = float(np.sqrt(variance)) if variance > NOTHING else 0.0
    p: float | None = None
    if error:
        p = float(2 * norm.sf(abs(difference) / error))
    elif abs(difference) < NOTHING:
        p = 1.0
    reach = float(norm.ppf((1 + level) / 2)) * error
    return AurocDifference(float(areas[0]), float(areas[1]), difference, difference - reach, difference + reach, p)


def mcnemar(right_first: ArrayLike, right_second: ArrayLike) -> LabelDifference:
    """Test whether two networks are correct equally often (McNemar 1947, exact form), from N booleans of each."""
    a, b = np.asarray(right_first, dtype=bool), np.asarray(right_second, dtype=bool)
    only_first, only_second = int((a & ~b).sum()), int((b & ~a).sum())
    apart = only_first + only_second
    p = float(binomtest(only_first, apart, 0.5).pvalue) if apart else 1.0
    return LabelDifference(only_first, only_second, p)


def holm(values: Sequence[float]) -> list[float]:
    """Return p-values corrected for multiple tests (Holm 1979), in the order given."""
    p = np.asarray(values, dtype=np.float64)
    order: NDArray[np.int64] = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(stepped, 1.0)
    return [float(value) for value in corrected]
