"""Read the size of pictures without a decoder, and check it against the limits."""

import struct
import zlib
from dataclasses import dataclass

from covid_xray.errors import BadImage
from covid_xray.limits import Limits

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
JPEG_MAGIC = b"\xff\xd8\xff"
J2K_MAGIC = b"\xff\x4f\xff\x51"  # start of codestream, then the SIZ marker

BMP_MAGIC = b"BM"
GIF_MAGICS = (b"GIF87a", b"GIF89a")
TIFF_MAGICS = (b"II*\0", b"MM\0*")
JP2_MAGIC = b"\0\0\0\x0cjP  \r\n\x87\n"
_TIFF_BITS, _TIFF_WIDTH, _TIFF_HEIGHT = 258, 256, 257  # tags
MAX_COMPONENTS = 4  # of JPEG 2000: colour and transparency

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
    """Read size and bits of a JPEG 2000 codestream, bare or in JP2 boxes.

    Raises:
        BadImage: codes `damaged`, `too-complex` (more components than a colour picture has).
    """
    start = data.find(J2K_MAGIC)
    if start < 0 or start + 43 > len(data):
        raise BadImage("Not a JPEG 2000 codestream.", code="damaged")
    right, bottom, left, top = struct.unpack_from(">4I", data, start + 8)
    (components,) = struct.unpack_from(">H", data, start + 40)
    if components > MAX_COMPONENTS:
        raise BadImage(
            f"The JPEG 2000 has {components:,} components. The limit is {MAX_COMPONENTS}.", code="too-complex"
        )
    return Header(right - left, bottom - top, (data[start + 42] & 0x7F) + 1)


def read_jp2(data: bytes) -> Header:
    """Read size and bits of a JPEG 2000 file that ends with its end marker. Raises `BadImage` as `read_j2k`."""
    header = read_j2k(data)
    if data.find(b"\xff\xd9", data.find(J2K_MAGIC)) < 0:  # no coded byte after 0xFF is above 0x8F
        raise truncated()
    return header


def read_tiff(data: bytes) -> Header:
    """Read size, bits and pages (1 or 2 for more) of a classic TIFF. Raises `BadImage` (`truncated`, `damaged`)."""
    order = "<" if data[:1] == b"I" else ">"
    (offset,) = struct.unpack_from(f"{order}I", data.ljust(8, b"\0"), 4)
    if offset + 2 > len(data):
        raise truncated()
    (count,) = struct.unpack_from(f"{order}H", data, offset)
    if offset + 2 + 12 * count + 4 > len(data):
        raise truncated()
    values = {}
    for number in range(count):
        tag, kind, length, value = struct.unpack_from(f"{order}HHI4s", data, offset + 2 + 12 * number)
        if tag not in (_TIFF_WIDTH, _TIFF_HEIGHT, _TIFF_BITS):
            continue
        if tag == _TIFF_BITS and length > 2:  # one for each colour, elsewhere in the file
            place = struct.unpack(f"{order}I", value)[0]
            value = data[place : place + 2].ljust(4, b"\0")
        values[tag] = struct.unpack(f"{order}I", value)[0] if kind == 4 else struct.unpack(f"{order}H", value[:2])[0]
    (more,) = struct.unpack_from(f"{order}I", data, offset + 2 + 12 * count)
    width, height = values.get(_TIFF_WIDTH, 0), values.get(_TIFF_HEIGHT, 0)
    return Header(width, height, values.get(_TIFF_BITS, 1), frames=2 if more else 1)


def read_bmp(data: bytes) -> Header:
    """Read the size of a Windows bitmap. Raises `BadImage` (`truncated`)."""
    if len(data) < 26 or struct.unpack_from("<I", data, 2)[0] > len(data):
        raise truncated()
    if struct.unpack_from("<I", data, 14)[0] == 12:  # the header of OS/2
        width, height = struct.unpack_from("<2H", data, 18)
    else:
        width, height = struct.unpack_from("<2i", data, 18)
    return Header(width, abs(height))  # a negative height counts rows from the top


def read_gif(data: bytes) -> Header:
    """Read the size of a GIF; its first picture is the one that is read. Raises `BadImage` (`truncated`)."""
    if len(data) < 13 or not data.rstrip(b"\0").endswith(b";"):
        raise truncated()
    width, height = struct.unpack_from("<2H", data, 6)
    return Header(width, height)


def read_webp(data: bytes) -> Header:
    """Read size and frames (1 or 2 for more) of a WebP. Raises `BadImage` (`truncated`, `damaged`)."""
    if len(data) < 30 or struct.unpack_from("<I", data, 4)[0] + 8 > len(data):
        raise truncated()
    kind = data[12:16]
    if kind == b"VP8X":
        width, height = (int.from_bytes(data[at : at + 3], "little") + 1 for at in (24, 27))
        return Header(width, height, frames=2 if data[20] & 2 else 1)
    if kind == b"VP8L":
        packed = int.from_bytes(data[21:25], "little")
        return Header((packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1)
    if kind != b"VP8 ":
        raise BadImage("The WebP begins with no picture.", code="damaged")
    width, height = struct.unpack_from("<2H", data, 26)
    return Header(width & 0x3FFF, height & 0x3FFF)


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
