"""Changes of look: a function of the seed, of the same shape, within their amounts, and off when they are off."""

import numpy as np
import pytest

pytest.importorskip("cv2")

from covid_xray.config import Appearance
from covid_xray.training import augmentation as looks
from covid_xray.training.augmentation import CHAIN, change
from support.films import film

FILM = film(3, height=200, width=180)
ALWAYS = Appearance(probability=1.0)


@pytest.mark.parametrize("step", CHAIN, ids=lambda step: step.__name__)
def test_each_change_keeps_the_form_and_is_a_function_of_its_seed(step: looks.Change) -> None:
    differ = 0
    for seed in range(20):
        before = FILM.copy()
        one, two = (step(FILM, ALWAYS, np.random.default_rng(seed)) for _ in range(2))
        assert (one.shape, one.dtype) == (FILM.shape, np.uint8)
        assert np.array_equal(one, two)
        assert np.array_equal(FILM, before), "the cached picture stays as it is"
        differ += not np.array_equal(one, FILM)
    assert differ >= 10


def test_nothing_changes_at_probability_zero_and_much_at_one() -> None:
    assert change(FILM, Appearance(), np.random.default_rng(0)) is FILM
    found = [change(FILM, ALWAYS, np.random.default_rng(seed)) for seed in range(6)]
    assert len({picture.tobytes() for picture in found}) == 6
    assert all(np.abs(picture.astype(int) - FILM).mean() > 3 for picture in found)


@pytest.mark.parametrize("step", [looks.gamma, looks.window], ids=lambda step: step.__name__)
def test_changes_of_grey_keep_the_order_of_grey_levels(step: looks.Change) -> None:
    ramp = np.tile(np.arange(256, dtype=np.uint8), (40, 1))
    for seed in range(10):
        assert (np.diff(step(ramp, ALWAYS, np.random.default_rng(seed))[0].astype(int)) >= 0).all()


def test_amounts_of_nothing_change_nothing() -> None:
    none = Appearance(gamma=0, equalise=0, resolution=0, noise=0, border=0)
    for step in (looks.gamma, looks.equalise, looks.resolution, looks.noise, looks.border):
        assert np.array_equal(step(FILM, none, np.random.default_rng(1)), FILM), step.__name__


def test_the_amount_bounds_the_change() -> None:
    for seed in range(10):
        weak = looks.compression(FILM, Appearance(jpeg=95), np.random.default_rng(seed))
        assert np.abs(weak.astype(int) - FILM).mean() < 3
        framed = looks.border(np.full((100, 100), 100, np.uint8), Appearance(border=0.05), np.random.default_rng(seed))
        assert (framed[5:95, 5:95] == 100).all()


def test_marks_and_patches_leave_most_of_the_picture() -> None:
    for seed in range(10):
        for step in (looks.marks, looks.patches):
            same = step(FILM, ALWAYS, np.random.default_rng(seed)) == FILM
            assert same.mean() > 0.7


def test_a_tiny_picture_survives_everything() -> None:
    tiny = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4
    for seed in range(20):
        assert change(tiny, ALWAYS, np.random.default_rng(seed)).shape == (8, 8)
