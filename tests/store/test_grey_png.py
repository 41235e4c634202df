"""What is written is what every reader of PNG reads, of any shape and depth."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from covid_xray.images.decode import decode
from covid_xray.images.phantoms import phantom
from covid_xray.store import grey_png


def encode(pixels: np.ndarray) -> bytes:
    return b"".join(grey_png.encode(pixels))


@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from([np.uint8, np.uint16]), st.integers(0, 2**31))
def test_every_pixel_comes_back(height: int, width: int, kind: type, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, np.iinfo(kind).max, (height, width), kind, endpoint=True)
    file = encode(pixels)
    assert np.array_equal(decode(file).pixels, pixels)
    with Image.open(io.BytesIO(file)) as image:
        image.verify()


def test_a_slice_and_a_turned_array_come_back_too() -> None:
    pixels = np.arange(64 * 48, dtype=np.uint16).reshape(64, 48) * 21
    for view in (pixels[::2, ::3], pixels.T, pixels[::-1]):
        assert np.array_equal(decode(encode(view)).pixels, view)


def test_no_larger_than_pillow_writes_it() -> None:
    anatomy = phantom.draw_anatomy(np.random.default_rng(3))
    pixels = phantom.draw(anatomy, size=384).pixels
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG", compress_level=1)
    assert len(encode(pixels)) <= 1.05 * len(stream.getvalue())


@pytest.mark.parametrize(
    "pixels", [np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.float32), np.zeros((0, 4), np.uint8)]
)
def test_what_is_no_grey_picture_is_refused(pixels: np.ndarray) -> None:
    with pytest.raises(ValueError, match="H x W uint8 or uint16"):
        encode(pixels)
