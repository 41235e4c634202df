"""What is seen of lungs that are cut off: where they are, and how much of each edge of the picture is lung."""

import numpy as np
import pytest

from covid_xray.images.radiograph import Radiograph
from covid_xray.inference.crop_detector import EXTENT, extent, features
from covid_xray.inference.gate_features import LAYOUT, look
from covid_xray.inference.lungs import LungFinder, Lungs
from support.chests import chest, lung_facts, lung_network

FINDER = LungFinder(lung_network(), size=lung_facts()["image_size"])


def found(pixels: np.ndarray) -> Lungs:
    return FINDER.find(Radiograph(np.ascontiguousarray(pixels)))


def test_whole_lungs_touch_no_edge_and_cut_ones_touch_the_edge_they_are_cut_at() -> None:
    whole = extent(found(chest()))
    assert whole.shape == (EXTENT,)
    cells, (top, bottom, left, right, area) = whole[:64].reshape(8, 8), whole[64:]
    assert (top, bottom, left, right) == (0, 0, 0, 0)
    assert area == pytest.approx(0.54 * 0.6, abs=0.05)  # on a grid of 32 x 32
    assert cells.mean() == pytest.approx(area, abs=0.03)
    assert cells[4, 2] > 0.9
    assert cells[0].max() < 0.1
    lower = extent(found(chest()[64:]))[64:]
    assert lower[0] == pytest.approx(0.54, abs=0.06)  # the first row, through both lungs
    assert lower[1:4].tolist() == [0, 0, 0]
    one = extent(found(chest()[:, :36]))[64:]
    assert one[3] == pytest.approx(0.6, abs=0.06)  # the last column, through one lung


def test_features_of_many_are_layout_then_lungs() -> None:
    pictures = [chest(), chest()[64:], chest(body=150)]
    thumbnails = np.stack([look(Radiograph(np.ascontiguousarray(p))).thumbnail for p in pictures])
    extents = np.stack([extent(found(p)) for p in pictures])
    assert features(thumbnails, None).shape == (3, LAYOUT)
    both = features(thumbnails, extents)
    np.testing.assert_array_equal(both[:, :LAYOUT], features(thumbnails, None))
    np.testing.assert_array_equal(both[:, LAYOUT:] / 2, extents)
