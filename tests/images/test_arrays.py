"""Arrays: NumPy and NIfTI planes keep their grey, and nothing of them is run or inflated past the limits."""

import gzip
from dataclasses import replace

import numpy as np
import pytest

from covid_xray.errors import BadImage
from covid_xray.images.decode import decode
from covid_xray.limits import Limits
from support.arrays import nifti, npy
from support.drawing import picture

GREY, DEEP = picture(40, 34), picture(40, 34, bits=12)


def code_of(data: bytes, **limits: int) -> str:
    with pytest.raises(BadImage) as refused:
        decode(data, limits=replace(Limits(), **limits))
    return refused.value.code


@pytest.mark.parametrize("array", [GREY, DEEP, np.asfortranarray(DEEP), DEEP.astype(">u2"), DEEP[None, :, :, None]])
def test_numpy_planes_keep_their_grey(array: np.ndarray) -> None:
    radiograph = decode(npy(array))
    assert np.array_equal(radiograph.pixels, array.reshape(GREY.shape))
    assert (radiograph.bits, radiograph.source.format) == (8 if array.dtype == np.uint8 else 12, "NPY")


def test_other_numbers_become_grey() -> None:
    assert decode(npy(GREY > 100)).pixels.max() == 255
    signed = decode(npy(DEEP.astype(np.int16) - 1000))
    assert np.array_equal(signed.pixels, DEEP.astype(int) - 1000 - min(0, int(DEEP.min()) - 1000))
    floats = decode(npy(DEEP / 4095))
    assert floats.bits == 16
    assert np.allclose(floats.pixels / 65_535, DEEP / DEEP.max(), atol=1e-4)
    assert decode(npy(np.zeros((3, 4)))).pixels.max() == 0


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (lambda: npy(np.array([["a", {}]], object)), "unsupported-bits"),
        (lambda: npy(np.zeros((3, 4), complex)), "unsupported-bits"),
        (lambda: npy(np.full((3, 4), 70_000)), "unsupported-bits"),
        (lambda: npy(np.full((3, 4), np.nan)), "damaged"),
        (lambda: npy(np.zeros((3, 4, 5))), "several-frames"),
        (lambda: npy(np.zeros(3)), "several-frames"),
        (lambda: npy(np.zeros((0, 4))), "no-pixels"),
        (lambda: npy(np.zeros((1, 8193), np.uint8)), "too-many-pixels"),
        (lambda: npy(GREY)[:-1], "truncated"),
        (lambda: b"\x93NUMPY\1\0\x10\0" + b"(" * 16, "damaged"),
        (lambda: nifti(DEEP[None].repeat(3, 0)), "several-frames"),
        (lambda: nifti(DEEP, code=128), "unsupported-bits"),
        (lambda: nifti(DEEP)[:-1], "truncated"),
        (lambda: gzip.compress(nifti(DEEP))[:-1], "truncated"),
        (lambda: gzip.compress(b"text"), "not-an-image"),
        (lambda: gzip.compress(bytes(1 << 25)), "too-large"),
        (lambda: b"\x1f\x8bxxxxxxxxxxx", "damaged"),
    ],
)
def test_what_is_refused(data, code: str) -> None:
    assert code_of(data(), upload_bytes=20 << 20) == code


@pytest.mark.parametrize("order", ["<", ">"])
def test_nifti_is_turned_as_its_affine_says(order: str) -> None:
    array = DEEP.astype(np.int16)
    radiograph = decode(nifti(array, order=order))  # columns to the patient's left, rows to the back, as ITK writes
    assert np.array_equal(radiograph.pixels, DEEP)
    assert (radiograph.bits, radiograph.source.format) == (12, "NIfTI")
    assert np.array_equal(decode(nifti(array, order=order, diagonal=(1, -1))).pixels, DEEP[:, ::-1])
    assert np.array_equal(decode(nifti(array, order=order, diagonal=None)).pixels, DEEP[::-1, ::-1])
    assert np.array_equal(decode(gzip.compress(nifti(array, order=order))).pixels, DEEP)


def test_nifti_of_other_types_and_a_negative_scale() -> None:
    assert np.array_equal(decode(nifti(GREY, code=2)).pixels, GREY)
    assert decode(nifti(DEEP.astype(np.float32), code=16)).bits == 16
    negative = decode(nifti(DEEP.astype(np.int16), slope=-1.0)).pixels.astype(float)
    assert np.corrcoef(negative.ravel(), DEEP.ravel())[0, 1] == pytest.approx(-1, abs=1e-3)
