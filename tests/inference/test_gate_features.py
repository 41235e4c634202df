"""What the gate sees of a picture: the thumbnail, its plain figures, and features that exposure does not change."""

import time

import numpy as np
import pytest

from covid_xray.images.phantoms.phantom import draw, draw_anatomy
from covid_xray.images.radiograph import ImageSource, Radiograph
from covid_xray.inference.gate_features import SIDE, UNDONE_BY, WAYS, greys, layout, look

CHEST = draw(draw_anatomy(np.random.default_rng(0)), size=128)


def thumbnail(pixels: np.ndarray) -> np.ndarray:
    return look(Radiograph(pixels)).thumbnail[None]


def test_the_thumbnail_is_the_mean_of_each_block():
    pixels = np.random.default_rng(1).integers(0, 256, (64, 96), dtype=np.uint8)
    expected = pixels.reshape(32, 2, 32, 3).mean(axis=(1, 3)) / 255
    np.testing.assert_allclose(look(Radiograph(pixels)).thumbnail, expected, atol=1e-6)


def test_a_large_picture_is_thinned_out_and_looks_the_same():
    large = np.kron(CHEST.pixels, np.ones((12, 12), np.uint8))
    away = np.abs(thumbnail(large) - thumbnail(CHEST.pixels))
    assert away.mean() < 0.01
    assert away.max() < 0.1


@pytest.mark.parametrize("shape", [(1, 1), (1, 900), (900, 1), (3, 5), (31, 33), (2000, 40)])
def test_any_shape_gives_a_thumbnail(shape):
    seen = look(Radiograph(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)))
    assert seen.thumbnail.shape == (SIDE, SIDE)
    assert (seen.thumbnail >= 0).all()
    assert (seen.thumbnail <= 1).all()
    assert seen.aspect == pytest.approx(shape[1] / shape[0])
    assert np.isfinite(layout(seen.thumbnail[None])).all()


def test_eight_and_sixteen_bits_of_one_picture_look_the_same():
    wide = Radiograph(CHEST.pixels.astype(np.uint16) * 257, bits=16)
    np.testing.assert_allclose(look(wide).thumbnail, look(CHEST).thumbnail, atol=1e-6)
    assert look(wide).extremes == look(CHEST).extremes


def test_plain_figures():
    half = np.zeros((40, 40), np.uint8)
    half[:, 20:] = 255
    seen = look(Radiograph(half, source=ImageSource(modality="CR", view="PA")))
    assert (seen.contrast, seen.extremes, seen.modality, seen.view) == (pytest.approx(1), 1, "CR", "PA")
    assert look(Radiograph(np.full((40, 40), 77, np.uint8))).contrast == 0
    assert look(CHEST).extremes < 0.6
    assert look(CHEST).contrast > 0.2


def test_exposure_hardly_moves_a_rank_and_turning_does():
    dark = (255 * (CHEST.pixels / 255) ** 1.3 * 0.8 + 10).astype(np.uint8)
    here, there = greys(thumbnail(CHEST.pixels)), greys(thumbnail(dark))
    assert np.abs(here - there).max() < 0.3  # of 3.5: the mean of a part is not quite that of its changed greys
    turned = greys(thumbnail(CHEST.pixels[::-1, ::-1]))
    assert np.abs(here - turned).max() > 1


def test_ranks_are_those_of_scipy_with_ties_shared():
    from scipy.stats import rankdata

    thumbnails = np.random.default_rng(0).integers(0, 4, (5, 8, 8)).astype(np.float32)
    found = greys(np.kron(thumbnails, np.ones((1, 4, 4), np.float32)))
    ranks = rankdata(thumbnails.reshape(5, -1), axis=1) - 1
    np.testing.assert_allclose(found, (ranks / 63 - 0.5) * np.sqrt(12), atol=1e-12)
    assert not greys(np.zeros((1, SIDE, SIDE), np.float32)).any()  # a flat picture has no darker part


@pytest.mark.parametrize("way", WAYS)
def test_each_way_is_undone(way):
    picture = thumbnail(CHEST.pixels)
    back = WAYS[UNDONE_BY.get(way, way)](WAYS[way](picture))
    np.testing.assert_allclose(back, picture, atol=1e-6)


def test_left_is_counter_clockwise():
    picture = np.zeros((1, SIDE, SIDE), np.float32)
    picture[0, :, -1] = 1  # the right edge
    assert WAYS["turned left"](picture)[0, 0].all()  # is on top now


def test_a_look_costs_no_more_than_milliseconds():
    film = Radiograph(np.random.default_rng(0).integers(0, 4096, (2500, 2000), dtype=np.uint16), bits=12)
    seconds = []
    for _ in range(5):
        begun = time.perf_counter()
        layout(look(film).thumbnail[None])
        seconds.append(time.perf_counter() - begun)
    assert min(seconds) < 0.02
