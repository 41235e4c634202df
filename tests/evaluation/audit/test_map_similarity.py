"""How alike two heat maps are."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from covid_xray.evaluation.audit.map_similarity import mean_of, spearman, ssim

RANDOM = np.random.default_rng(0)


def test_a_map_is_like_itself_and_like_no_other():
    first, second = RANDOM.random((2, 12, 12)).astype(np.float32)
    assert spearman(first, first) == pytest.approx(1)
    assert ssim(first, first) == pytest.approx(1)
    assert abs(spearman(first, second)) < 0.25
    assert ssim(first, second) < 0.5


def test_it_is_scipys_rank_correlation():
    first, second = RANDOM.integers(0, 5, (2, 9, 7)).astype(np.float32)
    assert spearman(first, second) == pytest.approx(spearmanr(first.ravel(), second.ravel()).statistic)


def test_scale_does_not_matter_but_place_does():
    heat = np.zeros((10, 10), np.float32)
    heat[2:4, 2:4] = [[1, 2], [3, 4]]
    assert ssim(heat, 100 * heat) == pytest.approx(1)
    assert spearman(heat, 100 * heat) == pytest.approx(1)
    moved = np.roll(heat, 5, axis=(0, 1))
    assert spearman(heat, moved) < 0
    assert ssim(heat, moved) < 0.9


def test_a_map_without_evidence_is_like_nothing():
    heat, even = RANDOM.random((8, 8)).astype(np.float32), np.zeros((8, 8), np.float32)
    assert spearman(heat, even) == 0
    assert np.isnan(spearman(even, even))
    assert ssim(heat, even) < 0.5


def test_maps_of_two_sizes_are_compared_at_the_smaller():
    small = RANDOM.random((6, 6)).astype(np.float32)
    assert spearman(np.kron(small, np.ones((4, 4), np.float32)), small) == pytest.approx(1)


def test_means_leave_out_what_is_undefined_and_draw_patients():
    values = np.array([0.2, 0.4, np.nan, 0.6])
    found = mean_of(values, groups=None, rounds=200, seed=0)
    assert (found["value"], found["n"]) == (pytest.approx(0.4), 3)
    assert found["ci_low"] < 0.4 < found["ci_high"]
    one = mean_of(values, groups=np.array(["a"] * 4), rounds=50, seed=0)
    assert one["ci_low"] == pytest.approx(one["ci_high"])
    assert mean_of(np.full(3, np.nan), groups=None, rounds=10, seed=0)["ci_low"] is None
