"""Array files for tests: NumPy by NumPy itself, NIfTI field by field from the standard."""

import io
import struct

import numpy as np


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=array.dtype.hasobject)
    return stream.getvalue()


def nifti(
    array: np.ndarray, *, code: int = 4, order: str = "<", diagonal: tuple[float, float] | None = (-1, -1),
    slope: float = 1.0,
) -> bytes:  # fmt: skip
    """A NIfTI-1 file of rows x columns, written field by field from the standard, not by the code under test."""
    shape = [array.ndim, *reversed(array.shape), *[1] * 7][:8]
    head = bytearray(352)
    struct.pack_into(f"{order}i", head, 0, 348)
    struct.pack_into(f"{order}8h", head, 40, *shape)
    struct.pack_into(f"{order}2h", head, 70, code, array.dtype.itemsize * 8)
    struct.pack_into(f"{order}3f", head, 108, 352, slope, 0)
    if diagonal:
        struct.pack_into(f"{order}2h", head, 252, 0, 1)
        struct.pack_into(f"{order}f", head, 280, diagonal[0])
        struct.pack_into(f"{order}f", head, 300, diagonal[1])
    head[344:348] = b"n+1\0"
    return bytes(head) + array.astype(array.dtype.newbyteorder(order)).tobytes()
