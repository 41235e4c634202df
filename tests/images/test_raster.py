"""The same picture in every mode that PNG and JPEG have is the same grey radiograph."""

import csv
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from covid_xray.errors import BadImage
from covid_xray.files import sha256_bytes
from covid_xray.images.decode import decode
from covid_xray.images.radiograph import significant_bits
from support import drawing

GREY = drawing.picture()
IMAGE = Image.fromarray(GREY)


def palette_image() -> Image.Image:
    """GREY through a shuffled palette."""
    order = np.random.default_rng(5).permutation(256)
    codes = np.argsort(order)[GREY].astype(np.uint8)
    image = Image.frombytes("P", IMAGE.size, codes.tobytes())
    image.putpalette(np.repeat(order, 3).astype(np.uint8).tobytes())
    return image


LOSSLESS = {
    "grey": lambda: drawing.png(GREY),
    "rgb": lambda: drawing.saved(IMAGE.convert("RGB"), "PNG"),
    "rgba": lambda: drawing.saved(IMAGE.convert("RGBA"), "PNG"),
    "grey with alpha": lambda: drawing.saved(IMAGE.convert("LA"), "PNG"),
    "palette": lambda: drawing.saved(palette_image(), "PNG"),
    "palette with alpha": lambda: drawing.saved(palette_image(), "PNG", transparency=bytes([255] * 256)),
}


@pytest.mark.parametrize("name", LOSSLESS)
def test_png_modes_are_one_picture(name: str) -> None:
    radiograph = decode(LOSSLESS[name]())
    assert np.array_equal(radiograph.pixels, GREY)
    assert (radiograph.bits, radiograph.pixels.dtype, radiograph.source.format) == (8, np.uint8, "PNG")


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_jpeg_modes_stay_close(mode: str) -> None:
    image = IMAGE.convert("RGB").convert(mode) if mode == "CMYK" else IMAGE.convert(mode)
    radiograph = decode(drawing.saved(image, "JPEG", quality=95))
    assert radiograph.source == decode(drawing.saved(image, "JPEG")).source
    assert radiograph.source.photometric == mode
    assert np.abs(radiograph.pixels.astype(int) - GREY).mean() < 1.5


def test_progressive_jpeg_is_the_baseline_picture() -> None:
    assert np.array_equal(
        decode(drawing.jpeg(GREY, progressive=True)).pixels, decode(drawing.jpeg(GREY, progressive=False)).pixels
    )


def test_phone_jpeg_with_a_second_picture_gives_the_first() -> None:
    other = Image.fromarray(255 - GREY)
    data = drawing.saved(IMAGE, "MPO", save_all=True, append_images=[other])
    assert np.array_equal(decode(data).pixels, decode(drawing.jpeg(GREY)).pixels)


def test_colour_is_weighed_as_itu_r_601() -> None:
    colours = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [10, 20, 30]]], np.uint8)
    assert decode(drawing.png(colours)).pixels.tolist() == [[76, 150, 29, 18]]


def test_one_bit_png() -> None:
    assert np.array_equal(decode(drawing.png(GREY > 99)).pixels, np.where(GREY > 99, 255, 0))


def grey_png(samples: list[int], depth: int, *, clear: int | None = None) -> bytes:
    """One row of grey samples of 1, 2, 4, 8 or 16 bits, and the value that tRNS calls transparent."""
    row = "".join(f"{sample:0{depth}b}" for sample in samples)
    body = int(row.ljust(-(-len(row) // 8) * 8, "0"), 2).to_bytes(-(-len(row) // 8), "big")
    transparent = [] if clear is None else [drawing.chunk(b"tRNS", struct.pack(">H", clear))]
    return drawing.raw_png(
        drawing.header_chunk(len(samples), 1, depth=depth),
        *transparent,
        drawing.chunk(b"IDAT", zlib.compress(b"\0" + body)),
        drawing.chunk(b"IEND", b""),
    )


@pytest.mark.parametrize(
    ("samples", "depth", "clear", "grey"),
    [
        ([0, 1, 1], 1, None, [0, 255, 255]),
        ([0, 1, 2, 3], 2, None, [0, 85, 170, 255]),
        ([0, 1, 2, 3], 2, 2, [0, 85, 0, 255]),
        ([0, 7, 8, 15], 4, None, [0, 119, 136, 255]),
        ([0, 7, 8, 15], 4, 15, [0, 119, 136, 0]),
        ([9, 200, 255], 8, 200, [9, 0, 255]),
        ([9, 20000, 65535], 16, 20000, [9, 0, 65535]),
    ],
)
def test_every_grey_depth_with_and_without_a_transparent_value(
    samples: list[int], depth: int, clear: int | None, grey: list[int]
) -> None:
    assert decode(grey_png(samples, depth, clear=clear)).pixels.tolist() == [grey]


def test_transparent_colour_of_a_16_bit_png() -> None:
    pixels = struct.pack(">9H", 65535, 65535, 65535, 256, 512, 768, 2570, 2570, 2570)
    data = drawing.raw_png(
        drawing.header_chunk(3, 1, depth=16, colour=2),
        drawing.chunk(b"tRNS", struct.pack(">3H", 65535, 65535, 65535)),
        drawing.chunk(b"IDAT", zlib.compress(b"\0" + pixels)),
        drawing.chunk(b"IEND", b""),
    )
    assert decode(data).pixels.tolist() == [[0, 2, 10]]


def test_transparency_lies_on_black() -> None:
    assert decode(drawing.png(np.array([[[200, 0], [200, 128], [200, 255]]], np.uint8))).pixels.tolist() == [
        [0, 100, 200]
    ]
    colours = np.array([[[200, 200, 200, 0], [200, 200, 200, 255]]], np.uint8)
    assert decode(drawing.png(colours)).pixels.tolist() == [[0, 200]]
    clear = bytes([0 if grey > 200 else 255 for grey in np.random.default_rng(5).permutation(256)])
    pixels = decode(drawing.saved(palette_image(), "PNG", transparency=clear)).pixels
    assert np.array_equal(pixels, np.where(GREY > 200, 0, GREY))


@pytest.mark.parametrize(
    ("orientation", "turn"),
    [
        (1, lambda p: p),
        (2, lambda p: p[:, ::-1]),
        (3, lambda p: p[::-1, ::-1]),
        (4, lambda p: p[::-1]),
        (5, lambda p: p.T),
        (6, lambda p: np.rot90(p, -1)),
        (7, lambda p: np.rot90(p, 2).T),
        (8, np.rot90),
    ],
)
@pytest.mark.parametrize("bits", [8, 16])
def test_exif_orientation_is_applied(orientation: int, turn: object, bits: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = drawing.picture(bits=bits)
    assert np.array_equal(decode(drawing.png(pixels, exif=exif)).pixels, turn(pixels))


def test_broken_exif_does_not_break_the_pixels() -> None:
    data = drawing.jpeg(GREY, exif=b"Exif\0\0" + b"MM\0*\xff\xff\xff\xff" + b"\xff" * 40)
    assert np.array_equal(decode(data).pixels, decode(drawing.jpeg(GREY)).pixels)


@pytest.mark.parametrize(("white", "bits"), [(1023, 10), (4095, 12), (16383, 14), (65535, 16), (5000, 14), (300, 10)])
def test_16_bit_png_keeps_its_values_and_finds_its_bits(white: int, bits: int) -> None:
    pixels = np.rint(GREY / 255 * white).astype(np.uint16)
    radiograph = decode(drawing.png(pixels))
    assert np.array_equal(radiograph.pixels, pixels)
    assert (radiograph.bits, radiograph.pixels.dtype) == (bits, np.uint16)


def test_dark_8_bit_picture_stretched_to_16_bits_stays_dark() -> None:
    assert significant_bits(np.array([[0, 257, 2570]], np.uint16)) == 16
    assert significant_bits(np.zeros((2, 2), np.uint16)) == 10


def deep_png(*channels: np.ndarray, colour: int, interlaced: bool = False) -> bytes:
    """A PNG of 16-bit samples; `interlaced` in one pass of Adam7 is a picture of one pixel."""
    height, width = channels[0].shape
    rows = np.stack(channels, axis=-1).astype(">u2")
    header = drawing.header_chunk(width, height, depth=16, colour=colour, interlaced=int(interlaced))
    body = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    return drawing.raw_png(header, drawing.chunk(b"IDAT", body), drawing.chunk(b"IEND", b""))


@pytest.mark.parametrize(("colour", "colours", "alpha"), [(4, 1, True), (2, 3, False), (6, 3, True)])
def test_12_bits_in_a_16_bit_png_with_colours_or_alpha_are_found(colour: int, colours: int, alpha: bool) -> None:
    pixels = drawing.picture(bits=12)
    opaque = [np.full_like(pixels, 65_535)] if alpha else []
    radiograph = decode(deep_png(*[pixels] * colours, *opaque, colour=colour))
    assert radiograph.bits == 12
    assert np.array_equal(radiograph.pixels, pixels)
    if alpha:
        half = decode(deep_png(*[pixels] * colours, np.full_like(pixels, 32_768), colour=colour))
        assert np.abs(half.pixels.astype(int) - pixels // 2).max() <= 1
    white = np.where(pixels == 4095, 65_535, pixels * 16)
    assert decode(deep_png(*[white] * colours, *opaque, colour=colour)).bits == 8


def test_a_16_bit_png_with_a_few_marker_pixels_keeps_its_bits() -> None:
    pixels = drawing.picture(bits=12)
    marked = pixels.copy()
    marked[3:8, 3:12] = 65_535
    radiograph = decode(drawing.png(marked))
    assert (radiograph.bits, np.array_equal(radiograph.pixels, np.minimum(marked, 4095))) == (12, True)
    marked[:40] = 65_535
    assert decode(drawing.png(marked)).bits == 16


@pytest.mark.realdata
def test_originals_decode_to_the_stored_hashes(real_data: Path) -> None:
    """`originals.csv` holds the SHA-256 of the grey pixels of each of the 24 files."""
    with (Path(__file__).parents[1] / "golden" / "originals.csv").open(encoding="utf-8", newline="") as stream:
        stored = {row["image"]: row for row in csv.DictReader(stream)}
    files = [path for path in sorted((real_data / "originals").iterdir()) if path.suffix != ".md"]
    assert [path.name for path in files] == list(stored)
    for path in files:
        radiograph = decode(path)
        row = stored[path.name]
        assert radiograph.pixels.shape == (int(row["height"]), int(row["width"]))
        assert radiograph.source.photometric == row["mode"]
        assert sha256_bytes(radiograph.pixels.tobytes()) == row["sha256"], path.name


DEEP12 = drawing.picture(bits=12)


def code_of(data: bytes) -> str:
    with pytest.raises(BadImage) as refused:
        decode(data)
    return refused.value.code


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("TIFF", {"compression": "tiff_deflate"}),
        ("BMP", {}),
        ("GIF", {}),
        ("WEBP", {"lossless": True}),
        ("JPEG2000", {"irreversible": False}),
    ],
)
def test_formats_that_lose_nothing_give_the_pixels_of_the_png(kind: str, options: dict) -> None:
    image = Image.fromarray(GREY)
    radiograph = decode(drawing.saved(image.convert("RGB") if kind == "WEBP" else image, kind, **options))
    assert radiograph.source.format == kind
    assert radiograph.bits == 8
    assert np.array_equal(radiograph.pixels, GREY)


@pytest.mark.parametrize("kind", ["TIFF", "JPEG2000"])
def test_16_bits_are_kept(kind: str) -> None:
    for pixels, bits in ((DEEP12, 12), (DEEP12 * np.uint16(16), 16)):
        radiograph = decode(drawing.saved(Image.fromarray(pixels), kind))
        assert radiograph.bits == bits
        assert np.array_equal(radiograph.pixels, pixels)


def test_tiff_where_white_is_zero_is_inverted() -> None:
    for pixels, white in ((GREY, 255), (DEEP12, 4095)):
        data = bytearray(drawing.saved(Image.fromarray(pixels), "TIFF"))
        at = data.index(struct.pack("<HHIH", 262, 3, 1, 1))
        data[at + 8] = 0
        assert np.array_equal(decode(bytes(data)).pixels, white - pixels)


def test_only_one_page_and_one_picture() -> None:
    image = Image.fromarray(GREY)
    pages = {"save_all": True, "append_images": [Image.fromarray(GREY[::-1].copy())]}
    assert code_of(drawing.saved(image, "TIFF", **pages)) == "several-frames"
    assert code_of(drawing.saved(image.convert("RGB"), "WEBP", **pages)) == "several-frames"
    assert np.array_equal(decode(drawing.saved(image, "GIF", **pages)).pixels, GREY)  # the first


def test_more_than_16_bits_are_refused() -> None:
    assert code_of(drawing.saved(Image.fromarray(GREY.astype(np.int32)), "TIFF")) == "unsupported-bits"
    assert code_of(drawing.saved(Image.fromarray(GREY.astype(np.float32)), "TIFF")) == "unsupported-bits"


def test_a_text_that_begins_like_a_bitmap_is_no_image() -> None:
    assert code_of(b"BMI of the patients" * 10) == "not-an-image"
