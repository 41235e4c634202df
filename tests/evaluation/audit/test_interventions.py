"""What each intervention hides and what it leaves, on drawn chests."""

import numpy as np
import pytest

from covid_xray.evaluation.audit.interventions import (
    INTERVENTIONS,
    Input,
    corners,
    dilate,
    fixed_box,
    frame,
    prepare_input,
)
from support.watching import SIZE, chest

WAYS = {way.name: way for way in INTERVENTIONS}


@pytest.fixture(scope="module")
def x() -> Input:
    pairs = [chest(label, seed) for label in ("covid", "normal") for seed in range(6)]
    return prepare_input(np.stack([pixels for pixels, _ in pairs]), np.stack([lungs for _, lungs in pairs]))


def changed_lungs(x: Input) -> Input:
    """The same pictures with other lungs."""
    noise = np.random.default_rng(0).integers(0, 256, x.pixels.shape).astype(np.uint8)
    return Input(np.where(x.lungs, noise, x.pixels), x.lungs, x.box, x.mean)


def changed_rest(x: Input) -> Input:
    noise = np.random.default_rng(0).integers(0, 256, x.pixels.shape).astype(np.uint8)
    return Input(np.where(x.lungs, x.pixels, noise), x.lungs, x.box, x.mean)


@pytest.mark.parametrize(
    "way", [way for way in INTERVENTIONS if way.lungs in ("hidden", "outline")], ids=lambda w: w.name
)
def test_hidden_lungs_leave_no_trace(way, x):
    before, after = way.change(x), way.change(changed_lungs(x))
    if way.name.startswith("box"):  # the fixed box holds 99.8 % by rows and columns: a rim of lung may stay outside
        outside = x.lungs & ~x.inside_box
        assert outside.sum() < 0.01 * x.lungs.sum()
        assert (before != after)[~dilate(outside, share=0.03)].sum() == 0
    else:
        assert np.array_equal(before, after)


@pytest.mark.parametrize("way", [way for way in INTERVENTIONS if way.lungs == "only"], ids=lambda w: w.name)
def test_only_the_lungs_means_nothing_else(way, x):
    picture = way.change(x)
    assert np.array_equal(picture, way.change(changed_rest(x)))
    assert np.array_equal(picture[x.lungs], x.pixels[x.lungs])
    ground = 0 if way.name == "lungs_only" else np.broadcast_to(x.mean, picture.shape)[~x.lungs]
    assert (picture[~x.lungs] == ground).all()  # the same in all images, or it would carry something over


def test_the_whole_picture_is_untouched(x):
    assert WAYS["whole"].change(x) is x.pixels


def test_corners_and_frame_are_where_they_should_be(x):
    assert corners(x)[0][[0, 0, -1, -1], [0, -1, 0, -1]].all()
    assert not corners(x)[0][:, SIZE // 2].any()
    assert frame(x)[0][SIZE // 2].sum() == 2 * round(3 / 32 * SIZE)
    assert (WAYS["frame_only"].change(x)[:, 6:-6, 6:-6] == 0).all()
    assert (WAYS["corners_black"].change(x)[:, :12, :12] == 0).all()


def test_the_fixed_box_is_one_for_all_and_holds_the_lungs(x):
    top, bottom, left, right = fixed_box(x.lungs)
    inside = np.zeros((SIZE, SIZE), bool)
    inside[top:bottom, left:right] = True
    assert (x.lungs & inside).sum() >= 0.99 * x.lungs.sum()
    assert inside.mean() < 0.75
    black = WAYS["box_black"].change(x)
    assert (black[:, inside] == 0).all()
    assert np.array_equal(black[:, ~inside], x.pixels[:, ~inside])


def test_what_replaces_the_lungs_is_the_same_in_every_image(x):
    common = x.lungs.all(axis=0)
    assert common.sum() > 100
    for name in ("lungs_mean", "box_mean"):
        inside = WAYS[name].change(x)[:, common]
        assert np.array_equal(inside, np.tile(np.rint(x.pixels.mean(axis=0))[common], (len(x.pixels), 1)))


def test_margins_grow_with_the_picture():
    mask = np.zeros((1, 100, 100), bool)
    mask[0, 50, 50] = True
    assert dilate(mask, share=0.03).sum(axis=(1, 2)) == pytest.approx(np.pi * 3**2, rel=0.4)


def test_taking_some_images_keeps_box_and_mean(x):
    few = x.take(slice(2, 4))
    assert few.box == x.box
    assert few.mean is x.mean
    assert np.array_equal(few.around, x.around[2:4])
