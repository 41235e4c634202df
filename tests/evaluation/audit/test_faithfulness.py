"""Insertion, deletion and lungs: a map of what the network reads against a map of anything else."""

import numpy as np
import pytest

from covid_xray.evaluation.audit.faithfulness import STEPS, curves, inside, ranks

SIDE = 32
REGION = np.zeros((SIDE, SIDE), bool)
REGION[4:12, 18:26] = True


def classify(pictures):
    """Probability of class 1 is the mean of the region."""
    p = pictures[:, REGION].mean(axis=1) / 255
    return np.stack([1 - p, p], axis=1).astype(np.float32)


@pytest.fixture
def pictures():
    random = np.random.default_rng(0)
    found = random.integers(0, 60, (4, SIDE, SIDE)).astype(np.uint8)
    found[:, REGION] = 240
    return found


def run(pictures, heat):
    mean = np.full((SIDE, SIDE), 20, np.uint8)
    maps = np.repeat(heat[None].astype(np.float32), len(pictures), axis=0)
    return curves(classify, pictures, maps, np.ones(len(pictures), dtype=np.int64), mean=mean)


def test_the_right_map_beats_the_wrong_and_the_empty_one(pictures):
    right, wrong, empty = (run(pictures, heat).areas for heat in (REGION, ~REGION, np.zeros((SIDE, SIDE))))
    assert (right[0] > empty[0]).all()
    assert (empty[0] > wrong[0]).all()
    assert (right[1] < empty[1]).all()
    assert (empty[1] < wrong[1]).all()


def test_curves_begin_and_end_where_they_should(pictures):
    found = run(pictures, REGION)
    own = classify(pictures)[:, 1]
    assert found.insertion.shape == (4, STEPS + 1)
    assert np.allclose(found.insertion[:, -1], own)
    assert np.allclose(found.deletion[:, 0], own)
    assert np.allclose(found.deletion[:, -1], 20 / 255)


def test_areas_are_those_of_the_trapezoids(pictures):
    found = run(pictures, REGION)
    step = found.deletion[0]
    assert found.areas[1][0] == pytest.approx(((step[:-1] + step[1:]) / 2).mean())


def test_pixels_of_one_value_come_in_random_order():
    places = ranks(np.zeros((4, 4), np.float32), (SIDE, SIDE), seed=0)
    assert sorted(places.ravel()) == list(range(SIDE * SIDE))
    first = places < 100
    assert 20 < first[: SIDE // 2].sum() < 80  # and not from the top left
    assert not np.array_equal(places, ranks(np.zeros((4, 4), np.float32), (SIDE, SIDE), seed=1))


def test_share_in_the_lungs_and_its_ratio_to_chance():
    lungs = np.zeros((3, SIDE, SIDE), bool)
    lungs[:, :, :8] = True
    left = np.zeros((SIDE, SIDE), np.float32)
    left[:, :8] = 1
    share, times = inside(np.stack([left, np.ones_like(left), np.zeros_like(left)]), lungs)
    assert share[0] == pytest.approx(1, abs=0.01)
    assert times[0] == pytest.approx(4, abs=0.05)
    assert times[1] == pytest.approx(1)
    assert np.isnan(share[2])
