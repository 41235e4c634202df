"""The statistics of the rule, against their closed forms and by simulation."""

import numpy as np
import pytest
from scipy.stats import binom

from covid_xray.evaluation.site.rule import images_needed, lower_bound, threshold_rank, upper_bound


@pytest.mark.parametrize(("images", "rank"), [(28, 0), (29, 1), (45, 1), (50, 2), (100, 5), (300, 22)])
def test_the_rank_of_the_threshold_is_that_of_the_binomial_tail(images, rank):
    assert threshold_rank(images, false_positives=0.10, confidence=0.95) == rank


def test_the_least_numbers_of_images():
    assert images_needed(false_positives=0.10, confidence=0.95) == 29
    assert images_needed(false_positives=0.05, confidence=0.95) == 59


def test_bounds_are_exact():
    assert upper_bound(0, 29, confidence=0.95) == pytest.approx(1 - 0.05 ** (1 / 29))
    assert lower_bound(29, 29, confidence=0.95) == pytest.approx(0.05 ** (1 / 29))
    assert (lower_bound(0, 10, confidence=0.95), upper_bound(10, 10, confidence=0.95)) == (0.0, 1.0)
    assert binom.cdf(3, 40, upper_bound(3, 40, confidence=0.95)) == pytest.approx(0.05)


def test_the_fixed_threshold_passes_exactly_where_the_rank_says_so():
    """So the greater of a fixed threshold and that of the site needs no correction for choosing between them."""
    for images in (29, 50, 73, 100, 300):
        rank = threshold_rank(images, false_positives=0.10, confidence=0.95)
        assert upper_bound(rank - 1, images, confidence=0.95) <= 0.10 < upper_bound(rank, images, confidence=0.95)


@pytest.mark.parametrize("images", [29, 50, 100, 300])
def test_the_promise_holds_for_any_distribution(images):
    """In 4,000 hospitals drawn from a skewed distribution, at most 5 % (and noise) pass more than 10 %."""
    random = np.random.default_rng(7)
    rank = threshold_rank(images, false_positives=0.10, confidence=0.95)
    thresholds = np.sort(random.exponential(size=(4000, images)), axis=1)[:, -rank]
    assert np.mean(np.exp(-thresholds) <= 0.10) >= 0.95 - 0.01
