"""Permutations within strata, the energy statistic and the stability index, each against a slow way to the same."""

import numpy as np
from scipy import stats

from covid_xray.inference.drift.two_sample import (
    distances,
    energy,
    p_value,
    permute,
    principal,
    stability_index,
    stratify,
)

ONE = np.zeros(40, np.intp)
SECOND = np.arange(40) >= 28


def test_permutations_keep_the_counts_of_each_stratum() -> None:
    strata = np.arange(40) % 3
    groups = permute(SECOND, strata, count=50, rng=np.random.default_rng(0))
    assert (groups[0] == SECOND).all()
    assert len(np.unique(groups, axis=0)) > 40
    for stratum in range(3):
        assert set(groups[:, strata == stratum].sum(axis=1)) == {SECOND[strata == stratum].sum()}


def test_the_energy_statistic_is_that_of_scipy() -> None:
    values = np.random.default_rng(1).normal(0, 1, 40)
    scaled = (values - values.mean()) / values.std()
    found = energy(distances(values[:, None]), SECOND[None], ONE)[0]
    expected = stats.energy_distance(scaled[~SECOND], scaled[SECOND]) ** 2 * 28 * 12 / 40
    assert np.isclose(found, expected)


def test_strata_are_compared_each_for_itself() -> None:
    """Two groups of pictures in other proportions: different as a whole, the same within strata."""
    rng = np.random.default_rng(2)
    group = np.where(SECOND, rng.random(40) < 0.9, rng.random(40) < 0.3).astype(np.intp)
    pairwise = distances(rng.normal(0, 1, (40, 2)) + 8 * group[:, None])
    whole = energy(pairwise, permute(SECOND, ONE, count=999, rng=rng), ONE)
    within = energy(pairwise, permute(SECOND, group, count=999, rng=rng), group)
    assert p_value(whole) < 0.01
    assert p_value(within) > 0.05


def test_the_stability_index_of_equal_shares_is_zero_and_grows() -> None:
    codes = np.arange(40) % 2
    equal, all_of_one = np.arange(40) < 20, codes == 1
    small, large = stability_index(codes, np.stack([equal, all_of_one]))
    assert small == 0
    assert large > 2


def test_p_values_are_uniform_without_a_change() -> None:
    rng = np.random.default_rng(3)
    found = []
    for _ in range(150):
        groups = permute(SECOND, ONE, count=99, rng=rng)
        found.append(p_value(energy(distances(rng.normal(0, 1, (40, 3))), groups, ONE)))
    assert stats.kstest(found, "uniform").pvalue > 0.01


def test_strata_need_images_of_both_samples() -> None:
    values = np.linspace(0, 1, 200)
    second = np.arange(200) % 4 == 0
    assert len(np.unique(stratify(values, second))) == 4
    assert set(stratify(values, values > 0.5)) == {0}, "they do not overlap"
    assert set(stratify(np.full(200, np.nan), second)) == {0}


def test_principal_components_keep_the_distances() -> None:
    features = np.random.default_rng(4).normal(0, 1, (30, 5)) @ np.random.default_rng(5).normal(0, 1, (5, 50))
    components = principal(features, count=5)
    assert components.shape == (30, 5)
    assert principal(features, count=20).shape == (30, 5), "the others are rounding errors, and depend on the order"
    assert np.allclose(components.std(axis=0), np.sort(components.std(axis=0))[::-1])
    assert np.isclose(np.linalg.norm(components[0] - components[7]), np.linalg.norm(features[0] - features[7]))
