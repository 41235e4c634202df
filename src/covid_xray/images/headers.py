"""Read the size of PNG, JPEG and JPEG 2000 streams without a decoder, and check it against the limits."""

import struct
import zlib
from dataclasses import dataclass

from covid_xray.errors import BadImage
from covid_xray.limits import Limits

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
JPEG_MAGIC = b"\xff\xd8\xff"
J2K_MAGIC = b"\xff\x4f\xff\x51"  # start of codestream, then the SIZ marker

# A 20 MB file of empty parts would take Pillow 10 s. Encoders write parts of 4..64 KiB, so 20 MB hold some 5,000.
MAX_PARTS = 20_000
MAX_FILL = 64  # bytes of junk or fill before a JPEG marker; Pillow reads them one by one
MAX_SCANS = 32  # each scan of a progressive JPEG visits the whole picture again; encoders write 6..12

# Start of frame: baseline, extended, progressive, lossless, their arithmetic kin, and JPEG-LS.
# 0xC4, 0xC8 and 0xCC lie between them and mean other things.
_FRAME_MARKERS = frozenset({*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC})
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
_BARE_MARKERS = frozenset({0x01, *range(0xD0, 0xD9)})  # they have no length
_CHECKED_CHUNKS = frozenset({b"IHDR", b"PLTE", b"IDAT", b"IEND"})


@dataclass(frozen=True)
class Header:
    """Size of an image: width and height in pixels, bits per sample, frames, and scans over the pixels."""

    width: int
    height: int
    bits: int = 8
    frames: int = 1
    scans: int = 1


def check(header: Header, *, limits: Limits) -> None:
    """Raise `BadImage` when an image has no pixels or exceeds a limit.

    Codes: `no-pixels`, `too-many-pixels`, `several-frames`, `unsupported-bits`, `too-complex`.
    """
    width, height = header.width, header.height
    if width < 1 or height < 1:
        raise BadImage("The image has no pixels.", code="no-pixels")
    if max(width, height) > limits.side or width * height > limits.pixels:
        limit = f"The limits are {limits.side:,} a side and {limits.pixels:,} pixels."
        raise BadImage(f"The image is too large: {width:,} x {height:,}. {limit}", code="too-many-pixels")
    if not 1 <= header.frames <= limits.frames:
        limit = f"The limit is {limits.frames}."
        raise BadImage(f"The file holds {header.frames:,} images. {limit}", code="several-frames")
    if header.bits > limits.max_bits:
        limit = f"The limit is {limits.max_bits}."
        raise BadImage(f"The image has {header.bits} bits per sample. {limit}", code="unsupported-bits")
    if header.scans > MAX_SCANS:
        raise BadImage(f"The JPEG has {header.scans:,} scans. The limit is {MAX_SCANS}.", code="too-complex")


def read_png(data: bytes) -> Header:
    """Read size, bit depth and frames of a PNG, walking all its chunks.

    Raises:
        BadImage: codes `truncated`, `checksum` (a chunk of pixels or structure was altered), `damaged`, `too-complex`.
    """
    header: tuple[int, int, int] | None = None
    frames, offset = 1, len(PNG_MAGIC)
    for _ in range(MAX_PARTS):
        if offset + 12 > len(data):
            raise truncated()
        length, kind = struct.unpack_from(">I4s", data, offset)
        end = offset + 12 + length
        if end > len(data):
            raise truncated()
        if kind in _CHECKED_CHUNKS and not _checksum_holds(data, offset, end):
            raise BadImage("A PNG checksum is wrong: the file was altered. Get it again.", code="checksum")
        if (header is None) != (kind == b"IHDR") or (kind == b"IHDR" and length != 13):
            raise BadImage("The PNG does not begin with one header.", code="damaged")
        if kind == b"IHDR":
            header = struct.unpack_from(">IIB", data, offset + 8)
        elif kind == b"acTL" and length == 8:  # animated PNG
            frames = struct.unpack_from(">I", data, offset + 8)[0]
        elif kind == b"IEND" and header:
            width, height, bits = header
            return Header(width, height, bits, frames=frames)
        offset = end
    raise BadImage(f"The PNG has more than {MAX_PARTS:,} chunks.", code="too-complex")


def read_jpeg(data: bytes) -> Header:
    """Read size, precision and scans of a JPEG or JPEG-LS stream that ends with an end-of-image marker.

    Raises:
        BadImage: codes `truncated`, `damaged`, `no-pixels`, `too-complex`.
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
                raise BadImage("The JPEG has no frame header before its pixels.", code="damaged")
            # In coded pixels 0xFF is always followed by 0, so these are real markers.
            if data.find(b"\xff\xd9", offset) < 0:
                raise truncated()
            width, height, bits = header
            return Header(width, height, bits, scans=1 + data.count(b"\xff\xda", offset))
        if marker == _END_OF_IMAGE:
            raise BadImage("The JPEG has no pixels.", code="no-pixels")
        offset = _skip_segment(data, offset, marker)
    raise BadImage(f"The JPEG has more than {MAX_PARTS:,} segments.", code="too-complex")


def read_j2k(data: bytes) -> Header:
    """Read size and bits of a JPEG 2000 codestream, bare or in JP2 boxes. Raises `BadImage` (`damaged`)."""
    start = data.find(J2K_MAGIC)
    if start < 0 or start + 43 > len(data):
        raise BadImage("Not a JPEG 2000 codestream.", code="damaged")
    right, bottom, left, top = struct.unpack_from(">4I", data, start + 8)
    return Header(right - left, bottom - top, (data[start + 42] & 0x7F) + 1)


def _checksum_holds(data: bytes, offset: int, end: int) -> bool:
    stored = struct.unpack_from(">I", data, end - 4)[0]
    return bool(zlib.crc32(memoryview(data)[offset + 4 : end - 4]) == stored)


def _next_marker(data: bytes, offset: int) -> tuple[int, int]:
    """Return the offset after the next marker, and the marker's second byte; skip up to `MAX_FILL` bytes of junk."""
    last = offset + MAX_FILL
    while offset < len(data):
        offset = data.find(b"\xff", offset, last)
        if offset < 0:
            raise BadImage("The JPEG holds bytes that are no marker.", code="damaged")
        offset += 1
        if data[offset : offset + 1] not in (b"", b"\xff", b"\0"):  # fill bytes, and 0xFF as a pixel
            return offset + 1, data[offset]
    raise truncated()


def _skip_segment(data: bytes, offset: int, marker: int) -> int:
    if marker in _BARE_MARKERS:
        return offset
    if offset + 2 > len(data):
        raise truncated()
    length = struct.unpack_from(">H", data, offset)[0]
    if length < 2:
        raise BadImage("A JPEG segment has no length.", code="damaged")
    return int(offset + length)


def truncated() -> BadImage:
    """Make the error for a file that ends early."""
    return BadImage("The file ends before the image does. Get it again.", code="truncated")
