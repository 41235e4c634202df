"""Tests of a difference, against the definitions, other people's code, and data with a known truth."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from covid_xray.evaluation.metrics.paired_tests import auroc_covariance, delong, holm, mcnemar


def placements(positive: np.ndarray, scores: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """DeLong's components by their definition, one pair of images at a time."""
    ours, rest = scores[positive], scores[~positive]
    wins = np.array([[1.0 if x > y else 0.5 if x == y else 0.0 for y in rest] for x in ours])
    return float(wins.mean()), wins.mean(axis=1), wins.mean(axis=0)


def by_definition(positive: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    parts = [placements(positive, row) for row in scores]
    inside = np.cov(np.stack([part[1] for part in parts])) / positive.sum()
    outside = np.cov(np.stack([part[2] for part in parts])) / (~positive).sum()
    return np.array([part[0] for part in parts]), inside + outside


@pytest.mark.parametrize("ties", [False, True])
def test_delong_is_its_definition_and_its_auroc_that_of_scikit_learn(ties):
    random = np.random.default_rng(3)
    positive = random.random(70) < 0.4
    scores = positive + random.normal(0, 1, (3, 70))
    scores = np.round(scores) if ties else scores
    areas, covariance = auroc_covariance(positive, scores)
    expected, expected_covariance = by_definition(positive, scores)
    np.testing.assert_allclose(areas, expected, rtol=1e-12)
    np.testing.assert_allclose(covariance, expected_covariance, rtol=1e-10, atol=1e-15)
    np.testing.assert_allclose(areas, [roc_auc_score(positive, row) for row in scores], rtol=1e-12)


def test_delong_by_hand():
    positive = [True, True, False, False]
    found = delong(positive, [3, 1, 2, 0], [3, 2, 1, 0])  # AUROC 3/4 and 1
    assert (found.first, found.second, found.difference) == (0.75, 1.0, 0.25)
    # Placements of the first: 1 and 1/2, and 1/2 and 1; of the second all 1: variance 2 * (1/8) / 2.
    assert found.high - found.difference == pytest.approx(1.959964 * np.sqrt(0.125), rel=1e-6)
    assert found.p == pytest.approx(0.4795, abs=1e-4)


def test_one_network_against_itself_differs_by_nothing():
    scores = np.random.default_rng(0).random(40)
    found = delong(np.arange(40) < 15, scores, scores * 2)
    assert (found.difference, found.low, found.high, found.p) == (0, 0, 0, 1)


def test_a_difference_without_variance_has_no_p():
    positive = np.arange(10) < 5
    found = delong(positive, positive * 1.0, 1.0 - positive)
    assert (found.difference, found.p) == (-1.0, None)


def test_delong_refuses_a_class_of_one_image():
    with pytest.raises(ValueError, match="two images on each side"):
        delong([True, False, False], [1, 2, 3], [1, 2, 3])


def test_delong_errs_as_often_as_it_says():
    """Two networks of one AUROC that share most of what they see: 5 % of 1,000 tests may call them different."""
    random = np.random.default_rng(11)
    positive = np.arange(120) < 50
    false = 0
    for _ in range(1000):
        seen = positive + random.normal(0, 1, 120)
        first, second = seen + random.normal(0, 0.7, (2, 120))
        false += delong(positive, first, second).p < 0.05
    assert 0.03 <= false / 1000 <= 0.07


def test_mcnemar_counts_only_the_images_on_which_the_two_part():
    first = [True] * 6 + [False] * 1 + [True] * 30 + [False] * 9
    second = [False] * 6 + [True] * 1 + [True] * 30 + [False] * 9
    found = mcnemar(first, second)
    assert (found.only_first, found.only_second) == (6, 1)
    assert found.p == pytest.approx(2 * (1 + 7) / 2**7)  # P(6 or 7 of 7) on both sides
    assert mcnemar(first, first).p == 1.0


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []
