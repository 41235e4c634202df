"""State the rule by which a bundle is fit for a hospital, and its statistics: exact bounds, the site's threshold."""

import pydantic

from covid_xray.config import Settings


class Rule(Settings):
    """What must hold for "fit"; written down before the images are seen, and kept in the site file."""

    confidence: float = pydantic.Field(0.95, gt=0.5, lt=1)  # of the one-sided bounds
    false_positives: float = pydantic.Field(0.10, gt=0, lt=1)  # most, of the healthy that are called ill
    cannot_say: float = pydantic.Field(0.33, gt=0, lt=1)  # most, of the images that can be read
    sensitivity_loss: float = pydantic.Field(0.05, ge=0, le=1)  # largest loss by the threshold of the site
    sensitivity: float = pydantic.Field(0.60, ge=0, le=1)  # least, of the ill that are called ill
    least_images: int = pydantic.Field(20, ge=1)  # below which nothing is said
    provisional_below: int = pydantic.Field(50, ge=1)  # healthy images
    auroc_from: int = pydantic.Field(100, ge=10)  # labelled images, below which no AUROC is given
    folds: int = pydantic.Field(5, ge=2, le=20)  # of the cross-validation
    valid_days: int = pydantic.Field(365, ge=1, le=3660)  # after which the check has ended


def upper_bound(count: int, total: int, *, confidence: float) -> float:
    """Upper end of the one-sided Clopper-Pearson interval of a share `count` / `total`; 1 without any."""
    from scipy.stats import beta

    return 1.0 if count >= total else float(beta.ppf(confidence, count + 1, total - count))


def lower_bound(count: int, total: int, *, confidence: float) -> float:
    """Lower end of the one-sided Clopper-Pearson interval of a share `count` / `total`; 0 without any."""
    from scipy.stats import beta

    return 0.0 if count <= 0 else float(beta.ppf(1 - confidence, count, total - count + 1))


def threshold_rank(total: int, *, false_positives: float, confidence: float) -> int:
    """Rank, from the highest, of the healthy score that may serve as threshold; 0 where there are too few.

    Of a new healthy image of the hospital, the score passes the k-th highest of n with a probability that follows
    Beta(k, n - k + 1), whatever the distribution of scores (Wilks 1941). So with k the greatest number for which a
    binomial variable of n and `false_positives` reaches k with `confidence`, at most `false_positives` of the healthy
    pass it, with that confidence. For 10 % and 95 %: 1 of 29, 2 of 50, 5 of 100, 22 of 300.

    The greater of this threshold and any fixed one keeps the promise; so it may be tried first whether the fixed one
    does, which is the same as asking for the exact bound of its false positives.
    """
    from scipy.stats import binom

    rank = 0
    while rank < total and binom.sf(rank, total, false_positives) >= confidence:
        rank += 1
    return rank


def images_needed(*, false_positives: float, confidence: float) -> int:
    """Least number of healthy images with which the promise can be made at all: 29 for 10 %, 59 for 5 %, at 95 %."""
    total = 1
    while not threshold_rank(total, false_positives=false_positives, confidence=confidence):
        total += 1
    return total
