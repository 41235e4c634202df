"""Encode grey pixels as PNG, several times as fast as Pillow at about the same size.

Pillow tries every filter on every row, which costs more than the compression. Radiographs are smooth and noisy, so the
difference to the row above, deflated by ISA-L, is about as small.
"""

import struct
from collections.abc import Iterator

import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY, _UP = 0, 2  # colour type and filter type of the PNG specification (third edition, 11.2.1 and 9.2)
_ROWS = 64  # filtered at once, which stay in the processor's cache


def encode(pixels: NDArray[np.uint8] | NDArray[np.uint16]) -> Iterator[bytes]:
    """Encode H x W uint8 or uint16 pixels as a PNG file of 8 or 16 bits per pixel, without metadata, part by part."""
    if pixels.ndim != 2 or pixels.dtype not in (np.uint8, np.uint16) or 0 in pixels.shape:
        raise ValueError(f"Cannot encode {pixels.shape} {pixels.dtype} as PNG: pixels must be H x W uint8 or uint16.")
    height, width = pixels.shape
    header = struct.pack(">IIBBBBB", width, height, 8 * pixels.dtype.itemsize, _GREY, 0, 0, 0)
    return _chunks(header, pixels)


def _chunks(header: bytes, pixels: NDArray[np.uint8] | NDArray[np.uint16]) -> Iterator[bytes]:
    packer = isal_zlib.compressobj(isal_zlib.ISAL_DEFAULT_COMPRESSION)
    yield _SIGNATURE + _chunk(b"IHDR", header)
    for part in _filtered(pixels):
        if data := packer.compress(part):
            yield _chunk(b"IDAT", data)
    yield _chunk(b"IDAT", packer.flush())
    yield _chunk(b"IEND", b"")


def _filtered(pixels: NDArray[np.uint8] | NDArray[np.uint16]) -> Iterator[NDArray[np.uint8]]:
    """Yield the rows, some at a time: its filter type before each, its bytes as differences to the row above."""
    above = np.zeros(pixels.shape[1] * pixels.dtype.itemsize, np.uint8)
    for start in range(0, len(pixels), _ROWS):
        part = pixels[start : start + _ROWS]
        rows = np.ascontiguousarray(part, dtype=pixels.dtype.newbyteorder(">")).view(np.uint8)
        filtered = np.empty((rows.shape[0], 1 + rows.shape[1]), np.uint8)
        filtered[:, 0] = _UP
        np.subtract(rows[0], above, out=filtered[0, 1:])
        np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])
        above = rows[-1]
        yield filtered


def _chunk(kind: bytes, data: bytes) -> bytes:
    checksum = isal_zlib.crc32(data, isal_zlib.crc32(kind))
    return b"".join([struct.pack(">I", len(data)), kind, data, struct.pack(">I", checksum)])
