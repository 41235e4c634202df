"""A radiograph is grey, of known depth, and nothing else."""

import numpy as np
import pytest

from covid_xray.images.radiograph import Radiograph


@pytest.mark.parametrize(("dtype", "bits"), [(np.uint8, 8), (np.uint16, 9), (np.uint16, 16)])
def test_grey_pixels_of_known_depth(dtype: type, bits: int) -> None:
    assert Radiograph(np.zeros((2, 3), dtype), bits=bits).source.format == "array"


@pytest.mark.parametrize(
    ("shape", "dtype", "bits"),
    [
        ((2, 3, 3), np.uint8, 8),
        ((2, 3), np.uint16, 8),
        ((2, 3), np.uint8, 12),
        ((2, 3), np.uint16, 17),
        ((2,), np.uint8, 8),
    ],
)
def test_anything_else_is_an_error_of_the_caller(shape: tuple[int, ...], dtype: type, bits: int) -> None:
    with pytest.raises(ValueError, match="Give H x W"):
        Radiograph(np.zeros(shape, dtype), bits=bits)
