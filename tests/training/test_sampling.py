"""Balanced draws give every class the same share; group weights follow the losses."""

import numpy as np
import pytest

from covid_xray.config import Training
from covid_xray.training import sampling

# 900 children's normals, 100 of adults, 40 covid images of one source and 10 of another
LABELS = np.array([1] * 1000 + [0] * 50)
SOURCES = ["kermany"] * 900 + ["nih"] * 100 + ["a"] * 40 + ["b"] * 10
GROUPS = sampling.group_numbers(LABELS.tolist(), SOURCES)


def test_a_plain_epoch_shows_every_image_once():
    order = sampling.epoch_order(GROUPS, LABELS, settings=Training(), epoch=3)
    assert sorted(order) == list(range(len(LABELS)))


def test_a_balanced_epoch_shows_classes_alike_and_sources_by_the_root_of_their_size():
    settings = Training(sampling="balanced", samples_per_epoch=40_000)
    order = sampling.epoch_order(GROUPS, LABELS, settings=settings, epoch=1)
    assert len(order) == 40_000
    assert np.mean(LABELS[order] == 0) == pytest.approx(0.5, abs=0.01)
    normals = np.array(SOURCES)[order][LABELS[order] == 1]
    assert np.mean(normals == "nih") == pytest.approx(10 / (30 + 10), abs=0.01)  # roots of 100 and 900


def test_an_order_is_a_function_of_seed_and_epoch():
    settings = Training(sampling="balanced")
    draw = lambda epoch: sampling.epoch_order(GROUPS, LABELS, settings=settings, epoch=epoch)  # noqa: E731
    assert len(draw(1)) == len(LABELS)
    assert np.array_equal(draw(1), draw(1))
    assert not np.array_equal(draw(1), draw(2))


def test_the_worst_group_gains_weight_and_the_mean_stays_one():
    weights = sampling.GroupWeights(3, step=0.1)
    for _ in range(20):
        batch = weights.update(np.array([0, 0, 1]), np.array([2.0, 2.0, 0.1]))
    assert weights.values.mean() == pytest.approx(1)
    assert batch[0] == batch[1] > batch[2]
    assert weights.values[0] > weights.values[1] > weights.values[2]
