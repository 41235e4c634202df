"""The network that finds lungs: its sizes, its names, and that gain and offset of a detector do not reach it."""

import numpy as np
import pytest

pytest.importorskip("tensorflow")

import keras

from covid_xray.models.lung_unet import Standardise, build


def test_half_the_size_comes_out_as_probabilities() -> None:
    model = build(64, widths=(4, 6, 8))
    x = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 1)).astype(np.float32)
    found = keras.ops.convert_to_numpy(model(x))
    assert found.shape == (2, 32, 32, 1)
    assert found.min() >= 0
    assert found.max() <= 1
    assert model.get_layer("lungs").output.dtype == "float32"
    assert len({layer.name for layer in model.layers}) == len(model.layers)


def test_it_is_small() -> None:
    assert build(192).count_params() < 600_000


@pytest.mark.parametrize("size", [63, 48 + 8, 100])
def test_sizes_that_cannot_be_halved_so_often_are_refused(size: int) -> None:
    with pytest.raises(ValueError, match="no multiple of 32"):
        build(size)


def test_brightness_and_contrast_are_taken_out() -> None:
    x = np.random.default_rng(1).normal(120, 30, (1, 16, 16, 1)).astype(np.float32)
    layer = Standardise()
    plain, other = (keras.ops.convert_to_numpy(layer(picture)) for picture in (x, 0.5 * x + 40))
    assert plain.mean() == pytest.approx(0, abs=1e-5)
    assert plain.std() == pytest.approx(1, abs=1e-2)
    assert np.abs(plain - other).max() < 0.02
    flat = keras.ops.convert_to_numpy(layer(np.full((1, 8, 8, 1), 77, np.float32)))
    assert np.array_equal(flat, np.zeros_like(flat))
