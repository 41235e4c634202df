"""What a linear head must not use: the directions, the projection off them, the pictures with hidden lungs."""

import numpy as np
import pytest

from covid_xray.bundle.lung_network import LungNetwork
from covid_xray.training.head.nuisance_projection import (
    SMALLEST,
    away_from,
    between_sources,
    group_means,
    without_corners,
    without_lungs,
)
from support.chests import chest, lung_facts, lung_network

DIRECTION = np.array([1.0, 2.0, 0.0, 0.0]) / np.sqrt(5)


@pytest.fixture
def hospitals():
    """120 x 4: class 0 from groups 0 and 1, which differ by 3 along DIRECTION; class 1 from group 2 alone."""
    random = np.random.default_rng(0)
    groups = np.repeat([0, 1, 2], 40)
    labels = np.repeat([0, 0, 1], 40)
    z = random.normal(size=(120, 4)) * 0.1
    for group in range(3):  # exactly centred, so that the means are what is written here
        z[groups == group] -= z[groups == group].mean(axis=0)
    z[groups == 1] += 3 * DIRECTION
    z[groups == 2] += [0.0, 0.0, 5.0, 0.0]
    return z, labels, groups


def test_sources_differ_within_a_class_and_classes_do_not_count(hospitals):
    rows = between_sources(*hospitals)
    assert rows == pytest.approx(np.stack([-1.5 * DIRECTION, 1.5 * DIRECTION, np.zeros(4)]), abs=1e-12)


def test_groups_have_means_and_empty_ones_none(hospitals):
    z, _, groups = hospitals
    expected = np.stack([np.zeros(4), 3 * DIRECTION, [0.0, 0.0, 5.0, 0.0]])
    assert group_means(z, groups) == pytest.approx(expected, abs=1e-12)
    assert group_means(z[:40], groups[:40] + 5) == pytest.approx(np.zeros((1, 4)), abs=1e-12)


def test_a_group_of_few_images_has_no_mean(hospitals):
    z, labels, groups = hospitals
    few = np.concatenate([np.arange(40), np.arange(40, 40 + SMALLEST - 1), np.arange(80, 120)])
    assert between_sources(z[few], labels[few], groups[few]) == pytest.approx(np.zeros((2, 4)), abs=1e-12)


def test_the_projection_takes_the_directions_and_nothing_else(hospitals):
    z, labels, groups = hospitals
    rows = between_sources(z, labels, groups)
    away = away_from([rows], 4)
    assert rows @ away == pytest.approx(np.zeros((3, 4)), abs=1e-12)
    assert away @ away == pytest.approx(away)
    assert np.trace(away) == pytest.approx(3)
    kept = np.array([2.0, -1.0, 7.0, 7.0])  # orthogonal to DIRECTION
    assert kept @ away == pytest.approx(kept)


def test_nothing_to_take_leaves_everything():
    assert away_from([np.zeros((0, 3))], 3) == pytest.approx(np.eye(3))
    assert away_from([np.zeros((2, 3))], 3) == pytest.approx(np.eye(3))


def test_lungs_are_black_with_a_margin_where_there_are_any():
    picture, empty = chest(height=96, width=96), np.full((96, 96), 180, np.uint8)
    pixels, found = without_lungs(np.stack([picture, empty]), LungNetwork(lung_network(), lung_facts()))
    assert found.tolist() == [True, False]
    inside = picture == 40
    assert not pixels[0][inside].any()
    assert 0 < (pixels[0] == 0).sum() - inside.sum() < inside.sum()  # the margin
    assert pixels[0][0, 0] == 180


def test_corners_are_black_and_the_rest_is_left():
    pixels = without_corners(np.full((2, 50, 50), 180, np.uint8))
    assert not pixels[:, [0, 0, 49, 49], [0, 49, 0, 49]].any()
    assert not pixels[:, :10, :10].any()
    assert (pixels[:, 10:40, :] == 180).all()
    assert (pixels[:, :, 10:40] == 180).all()
