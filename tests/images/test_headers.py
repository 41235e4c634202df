"""Sizes read from headers are those that decoders find, and structure that is broken is refused."""

import struct
import zlib

import numpy as np
import pytest

from covid_xray.config import Limits
from covid_xray.errors import BadImage
from covid_xray.images.decode import decode
from covid_xray.images.headers import MAX_PARTS, MAX_SCANS, Header, check, read_j2k, read_jpeg, read_png
from support import drawing

GREY = drawing.picture(70, 50)
PNG, JPEG = drawing.png(GREY), drawing.jpeg(GREY)
END = drawing.chunk(b"IEND", b"")
BODY = drawing.chunk(b"IDAT", zlib.compress(bytes(12)))


def code_of(read: object, data: bytes) -> str:
    with pytest.raises(BadImage) as refusal:
        read(data)
    return refusal.value.code


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_blocks": 2}, {"comment": b"x" * 999}])
def test_jpeg_size(options: dict) -> None:
    header = read_jpeg(drawing.jpeg(GREY, **options))
    assert (header.width, header.height, header.bits, header.frames) == (50, 70, 8, 1)
    assert (header.scans > 1) == ("progressive" in options)


@pytest.mark.parametrize("junk", [b"\xff" * 20, b"\xff\0", b"some junk", b"junk\xff\0\xff\xff\0"])
def test_a_little_junk_between_jpeg_segments_is_passed_over(junk: bytes) -> None:
    data = JPEG[:2] + junk + JPEG[2:]
    assert read_jpeg(data) == read_jpeg(JPEG)
    if junk[:1] == b"\xff":  # else the magic bytes are gone
        assert np.array_equal(decode(data).pixels, decode(JPEG).pixels)


def test_png_size() -> None:
    assert read_png(PNG) == Header(50, 70)
    assert read_png(drawing.png(drawing.picture(70, 50, bits=16))) == Header(50, 70, bits=16)
    assert read_png(PNG + b"something behind the end") == Header(50, 70)


def test_jpeg_2000_size() -> None:
    codec = pytest.importorskip("openjpeg.utils")
    stream = bytes(codec.encode_array(drawing.picture(70, 50, bits=12), bits_stored=12, photometric_interpretation=2))
    assert read_j2k(stream) == Header(50, 70, bits=12)
    assert code_of(read_j2k, stream[:40]) == "damaged"


@pytest.mark.parametrize("cut", range(8, len(PNG), 97))
def test_cut_png(cut: int) -> None:
    assert code_of(read_png, PNG[:cut]) == "truncated"


@pytest.mark.parametrize("cut", range(3, len(JPEG), 59))
def test_cut_jpeg(cut: int) -> None:
    assert code_of(read_jpeg, JPEG[:cut]) == "truncated"


def test_last_byte_counts() -> None:
    assert code_of(read_png, PNG[:-1]) == "truncated"
    assert code_of(read_jpeg, JPEG[:-1]) == "truncated"


def test_altered_png_is_noticed_at_every_byte_of_its_pixels() -> None:
    start = PNG.index(b"IDAT") + 4
    for at in range(start, len(PNG) - 16, 41):
        assert code_of(read_png, PNG[:at] + bytes([PNG[at] ^ 1]) + PNG[at + 1 :]) == "checksum"


def test_png_out_of_order() -> None:
    assert code_of(read_png, drawing.raw_png(BODY, drawing.header_chunk(1, 1), END)) == "damaged"
    assert code_of(read_png, drawing.raw_png(drawing.header_chunk(1, 1), drawing.header_chunk(2, 2), END)) == "damaged"
    assert code_of(read_png, drawing.raw_png(drawing.chunk(b"IHDR", b"\0" * 9), END)) == "damaged"


def test_animated_png_has_frames() -> None:
    frames = drawing.chunk(b"acTL", struct.pack(">II", 7, 0))
    assert read_png(drawing.raw_png(drawing.header_chunk(1, 1), frames, BODY, END)).frames == 7


def test_files_of_countless_parts_are_refused() -> None:
    empty = drawing.chunk(b"tEXt", b"")
    assert code_of(read_png, drawing.raw_png(drawing.header_chunk(1, 1), empty * MAX_PARTS, END)) == "too-complex"
    assert code_of(read_jpeg, b"\xff\xd8" + b"\xff\xfe\0\2" * MAX_PARTS + JPEG[2:]) == "too-complex"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\xff\xd8\xff\xd9", "no-pixels"),
        (b"\xff\xd8\xff\xda\0\2\xff\xd9", "damaged"),
        (b"\xff\xd8\xff\xe0\0\1", "damaged"),
        (b"\xff\xd8\xff\xe0\0\2" + b"junk" * 20, "damaged"),
        (b"\xff\xd8" + b"\xff" * 100, "damaged"),
        (b"\xff\xd8\xff\xff\xff\xff", "truncated"),
    ],
)
def test_jpeg_out_of_order(data: bytes, code: str) -> None:
    assert code_of(read_jpeg, data) == code


@pytest.mark.parametrize(
    ("header", "code"),
    [
        (Header(0, 5), "no-pixels"),
        (Header(5, 0), "no-pixels"),
        (Header(-5, -5), "no-pixels"),
        (Header(8193, 1), "too-many-pixels"),
        (Header(1, 8193), "too-many-pixels"),
        (Header(8000, 5001), "too-many-pixels"),
        (Header(5, 5, bits=17), "unsupported-bits"),
        (Header(5, 5, frames=2), "several-frames"),
        (Header(5, 5, frames=0), "several-frames"),
        (Header(5, 5, scans=MAX_SCANS + 1), "too-complex"),
    ],
)
def test_what_breaks_a_limit(header: Header, code: str) -> None:
    with pytest.raises(BadImage) as refusal:
        check(header, limits=Limits())
    assert refusal.value.code == code


def test_what_just_keeps_the_limits() -> None:
    for header in (Header(8000, 5000), Header(8192, 1), Header(1, 1), Header(5, 5, bits=16, scans=MAX_SCANS)):
        check(header, limits=Limits())


def test_scan_count_is_not_fooled_by_coded_pixels() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (200, 200)).astype(np.uint8)
    assert read_jpeg(drawing.jpeg(noise, quality=100)).scans == 1
