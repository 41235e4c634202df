"""What PNG, JPEG and JPEG 2000 streams say of their size, read without any decoder.

Comes in: bytes. Goes out: a `Header`, checked against `Limits` before a decoder may touch the pixels.
"""

import struct
import zlib
from dataclasses import dataclass

from covid_xray.errors import BadImage
from covid_xray.limits import Limits

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
JPEG_MAGIC = b"\xff\xd8\xff"
J2K_MAGIC = b"\xff\x4f\xff\x51"  # start of codestream, then the SIZ marker

# Python loops over the parts of a file cost time: a 20 MB file of empty parts would take 10 s in Pillow.
# Encoders write pieces of 4..64 KiB, so that 20 MB hold some 5,000.
MAX_PARTS = 20_000
MAX_FILL = 64  # bytes of junk or fill that may stand before a JPEG marker; Pillow reads them one by one
# Each scan of a progressive JPEG visits the whole picture again; encoders write 6..12.
MAX_SCANS = 32

# Start of frame: baseline, extended, progressive, lossless, their arithmetic kin, and JPEG-LS.
# 0xC4, 0xC8 and 0xCC lie between them and mean other things.
_FRAME_MARKERS = frozenset({*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC})
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
_BARE_MARKERS = frozenset({0x01, *range(0xD0, 0xD9)})  # they have no length
_CHECKED_CHUNKS = frozenset({b"IHDR", b"PLTE", b"IDAT", b"IEND"})


@dataclass(frozen=True)
class Header:
    """Size of one picture: pixels, bits of a sample, pictures in the file, passes over the pixels."""

    width: int
    height: int
    bits: int = 8
    frames: int = 1
    scans: int = 1


def check(header: Header, *, limits: Limits) -> None:
    """Refuse what would cost too much to decode.

    Raises:
        BadImage: codes `no-pixels`, `too-many-pixels`, `several-frames`, `unsupported-bits`, `too-complex`.
    """
    width, height = header.width, header.height
    if width < 1 or height < 1:
        raise BadImage("expected a picture with pixels. Received: a side of 0", code="no-pixels")
    if max(width, height) > limits.side or width * height > limits.pixels:
        raise BadImage(
            f"expected sides of at most {limits.side:,} and at most {limits.pixels:,} pixels. "
            f"Received: {width:,} x {height:,}",
            code="too-many-pixels",
        )
    if not 1 <= header.frames <= limits.frames:
        raise BadImage(
            f"expected at most {limits.frames} picture in a file. Received: {header.frames:,}", code="several-frames"
        )
    if header.bits > limits.max_bits:
        raise BadImage(
            f"expected at most {limits.max_bits} bits a sample. Received: {header.bits}", code="unsupported-bits"
        )
    if header.scans > MAX_SCANS:
        raise BadImage(f"expected at most {MAX_SCANS} scans. Received: {header.scans:,}", code="too-complex")


def read_png(data: bytes) -> Header:
    """Size, bit depth and frames of a PNG, after a walk over its chunks to the end.

    Raises:
        BadImage: codes `truncated`, `checksum` (a chunk of pixels or structure was altered), `damaged`, `too-complex`.
    """
    header: tuple[int, int, int] | None = None
    frames, offset = 1, len(PNG_MAGIC)
    for _ in range(MAX_PARTS):
        if offset + 12 > len(data):
            raise _truncated()
        length, kind = struct.unpack_from(">I4s", data, offset)
        end = offset + 12 + length
        if end > len(data):
            raise _truncated()
        if kind in _CHECKED_CHUNKS and not _checksum_holds(data, offset, end):
            raise BadImage("expected PNG chunks whose checksums hold. Received: an altered one", code="checksum")
        if (header is None) != (kind == b"IHDR") or (kind == b"IHDR" and length != 13):
            raise BadImage("expected a PNG that opens with one header. Received: another order", code="damaged")
        if kind == b"IHDR":
            header = struct.unpack_from(">IIB", data, offset + 8)
        elif kind == b"acTL" and length == 8:  # animated PNG
            frames = struct.unpack_from(">I", data, offset + 8)[0]
        elif kind == b"IEND" and header:
            width, height, bits = header
            return Header(width, height, bits, frames=frames)
        offset = end
    raise BadImage(f"expected at most {MAX_PARTS:,} chunks. Received: more", code="too-complex")


def read_jpeg(data: bytes) -> Header:
    """Size, precision and scans of a JPEG or JPEG-LS stream that is closed by an end-of-image marker.

    Raises:
        BadImage: codes `truncated`, `damaged`, `too-complex`.
    """
    header: tuple[int, int, int] | None = None
    offset = 2
    for _ in range(MAX_PARTS):
        offset, marker = _next_marker(data, offset)
        if marker in _FRAME_MARKERS and header is None and offset + 7 <= len(data):
            bits, height, width = struct.unpack_from(">BHH", data, offset + 2)
            header = (width, height, bits)
        if marker == _START_OF_SCAN:
            if header is None:
                raise BadImage("expected a JPEG frame header before the pixels. Received: none", code="damaged")
            # Inside the coded pixels 0xFF is always followed by 0, so these are real markers.
            if data.find(b"\xff\xd9", offset) < 0:
                raise _truncated()
            width, height, bits = header
            return Header(width, height, bits, scans=1 + data.count(b"\xff\xda", offset))
        if marker == _END_OF_IMAGE:
            raise BadImage("expected a JPEG with pixels. Received: one without", code="no-pixels")
        offset = _skip_segment(data, offset, marker)
    raise BadImage(f"expected at most {MAX_PARTS:,} JPEG segments. Received: more", code="too-complex")


def read_j2k(data: bytes) -> Header:
    """Size and bits of a JPEG 2000 codestream, bare or inside JP2 boxes. Raises `BadImage` (`damaged`)."""
    start = data.find(J2K_MAGIC)
    if start < 0 or start + 43 > len(data):
        raise BadImage("expected a JPEG 2000 codestream. Received: other bytes", code="damaged")
    right, bottom, left, top = struct.unpack_from(">4I", data, start + 8)
    return Header(right - left, bottom - top, (data[start + 42] & 0x7F) + 1)


def _checksum_holds(data: bytes, offset: int, end: int) -> bool:
    stored = struct.unpack_from(">I", data, end - 4)[0]
    return bool(zlib.crc32(memoryview(data)[offset + 4 : end - 4]) == stored)


def _next_marker(data: bytes, offset: int) -> tuple[int, int]:
    """Offset just behind the next marker, and the marker's second byte. A little junk before it is passed over."""
    last = offset + MAX_FILL
    while offset < len(data):
        offset = data.find(b"\xff", offset, last)
        if offset < 0:
            raise BadImage("expected a JPEG marker. Received: other bytes", code="damaged")
        offset += 1
        if data[offset : offset + 1] not in (b"", b"\xff", b"\0"):  # fill bytes, and 0xFF as a pixel
            return offset + 1, data[offset]
    raise _truncated()


def _skip_segment(data: bytes, offset: int, marker: int) -> int:
    if marker in _BARE_MARKERS:
        return offset
    if offset + 2 > len(data):
        raise _truncated()
    length = struct.unpack_from(">H", data, offset)[0]
    if length < 2:
        raise BadImage("expected JPEG segments with a length. Received: one without", code="damaged")
    return int(offset + length)


def _truncated() -> BadImage:
    return BadImage("expected a whole file. Received: one that breaks off", code="truncated")
