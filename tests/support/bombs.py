"""Files made to hurt: each is a few lines of code that write it."""

import gzip
import io
import struct
import zlib
from collections.abc import Callable

import numpy as np
import pydicom
from PIL import Image, PngImagePlugin

from support import drawing
from support.arrays import nifti, npy
from support.drawing import chunk, header_chunk, raw_png

GREY = drawing.picture(40, 30)
END = chunk(b"IEND", b"")


def png_of(
    *,
    width: int,
    height: int,
    depth: int = 8,
    colour: int = 0,
    interlaced: int = 0,
    body: bytes = b"",
    extra: tuple[bytes, ...] = (),
) -> bytes:
    header = header_chunk(width, height, depth=depth, colour=colour, interlaced=interlaced)
    return raw_png(header, *extra, chunk(b"IDAT", zlib.compress(body or bytes(99), 9)), END)


def zeros_png(side: int, **options: int) -> bytes:
    """A picture of `side` x `side` zeros, honest but large."""
    return png_of(width=side, height=side, body=bytes(side * (side * options.get("depth", 8) // 8 + 1)), **options)


def text_bomb(kind: bytes, size: int) -> bytes:
    packed = zlib.compress(bytes(size), 9)
    head = {b"zTXt": b"k\0\0", b"iTXt": b"k\0\1\0\0\0", b"iCCP": b"k\0\0"}[kind]
    return png_of(width=1, height=1, body=b"\0\0", extra=(chunk(kind, head + packed),))


def jpeg_of(*, width: int, height: int) -> bytes:
    """A good JPEG whose frame header tells another size."""
    data = bytearray(drawing.jpeg(GREY))
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", height, width)
    return bytes(data)


def many_scans(count: int) -> bytes:
    data = drawing.jpeg(np.zeros((2000, 2000), np.uint8), progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:-2] + data[last:-2] * count + b"\xff\xd9"


def deflated(size: int) -> bytes:
    whole = drawing.dicom(GREY, bits=8)
    meta_end = whole.index(b"\x08\x00\x16\x00")
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    body = packer.compress(whole[meta_end:] + bytes(size)) + packer.flush()
    return renamed(whole[:meta_end], "1.2.840.10008.1.2.1.99") + body


def renamed(meta: bytes, uid: str) -> bytes:
    """The meta header with another transfer syntax."""
    old = b"UI\x14\x001.2.840.10008.1.2.1\0"
    new = uid.encode() + b"\0" * (len(uid) % 2)
    assert old in meta
    return meta.replace(old, b"UI" + struct.pack("<H", len(new)) + new)


def nested(depth: int, *, explicit: bool = True) -> bytes:
    """Sequences of undefined length, one in another, before the pixels."""
    whole = drawing.dicom(GREY, bits=8)
    at = whole.index(b"\x08\x00\x60\x00")
    start = b"\x08\x00\x40\x11" + (b"SQ\0\0" if explicit else b"") + b"\xff" * 4 + b"\xfe\xff\x00\xe0" + b"\xff" * 4
    end = b"\xfe\xff\x0d\xe0\0\0\0\0" + b"\xfe\xff\xdd\xe0\0\0\0\0"
    return whole[:at] + start * depth + end * depth + whole[at:]


def rle(**tags: object) -> bytes:
    """An RLE frame that holds one run of 128 zeros, under tags that promise more."""
    frame = struct.pack("<16I", 1, 64, *[0] * 14) + b"\x81\0"
    return drawing.dicom(GREY, bits=8, syntax=pydicom.uid.RLELossless, frame=frame, **tags)


def rle_segments(offset: int) -> bytes:
    frame = struct.pack("<16I", 15, *[offset] * 15) + b"\x81\0" * 50
    return drawing.dicom(GREY, bits=8, syntax=pydicom.uid.RLELossless, frame=frame)


def long_element(length: int) -> bytes:
    """A text element that claims to be `length` bytes long."""
    whole = drawing.dicom(GREY, bits=8)
    at = whole.index(b"\x08\x00\x60\x00")
    return whole[:at] + b"\x08\x00\x50\x00UT\0\0" + struct.pack("<I", length) + whole[at:]


def j2k(width: int, height: int, *, tile: int = 0) -> bytes:
    """A codestream header and nothing behind it."""
    size = struct.pack(">HHIIIIIIIIHBBB", 41, 0, width, height, 0, 0, tile or width, tile or height, 0, 0, 1, 7, 1, 1)
    stream = b"\xff\x4f\xff\x51" + size + b"\xff\xd9"
    return drawing.dicom(GREY, bits=8, syntax=drawing.J2K, frame=stream + b"\0" * (len(stream) % 2))


def palette(**changes: object) -> bytes:
    tags: dict[str, object] = {}
    for colour in ("Red", "Green", "Blue"):
        tags[f"{colour}PaletteColorLookupTableDescriptor"] = changes.get("descriptor", [256, 0, 16])
        tags[f"{colour}PaletteColorLookupTableData"] = changes.get("data", bytes(512))
    return drawing.dicom(GREY, bits=8, photometric="PALETTE COLOR", **tags)


def palette_png(entries: int) -> bytes:
    return png_of(width=4, height=1, colour=3, body=b"\0\x00\x01\xfe\xff", extra=(chunk(b"PLTE", bytes(3 * entries)),))


def many_pictures() -> bytes:
    """A JPEG with 200 more behind it."""
    return drawing.jpeg(GREY) * 200


def text_chunks(count: int) -> bytes:
    info = PngImagePlugin.PngInfo()
    for _ in range(count):
        info.add_text("k", "x" * 60_000, zip=True)
    stream = io.BytesIO()
    Image.fromarray(GREY).save(stream, "PNG", pnginfo=info)
    return stream.getvalue()


def with_exif(exif: bytes) -> bytes:
    return drawing.jpeg(GREY, exif=b"Exif\0\0" + exif)


def tiff_of(*, width: int = 34, height: int = 40, more: int = 0) -> bytes:
    """A TIFF that states another size, or another directory at the offset `more`."""
    data = bytearray(drawing.saved(Image.fromarray(GREY), "TIFF"))
    (start,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, start)
    for at in range(start + 2, start + 2 + 12 * count, 12):
        tag = struct.unpack_from("<H", data, at)[0]
        if tag in (256, 257):
            struct.pack_into("<HI", data, at + 2, 4, 1)
            struct.pack_into("<I", data, at + 8, width if tag == 256 else height)
    struct.pack_into("<I", data, start + 2 + 12 * count, more)
    return bytes(data)


def bmp_of(width: int, height: int) -> bytes:
    data = bytearray(drawing.saved(Image.fromarray(GREY), "BMP"))
    struct.pack_into("<2i", data, 18, width, height)
    return bytes(data)


def jp2_of(*, width: int = 34, height: int = 40, components: int = 1) -> bytes:
    size = struct.pack(">HH8IH", 38 + 3 * components & 0xFFFF, 0, width, height, 0, 0, width, height, 0, 0, components)
    return b"\xff\x4f\xff\x51" + size + b"\7\1\1" * min(components, 4) + b"\xff\xd9"


def npy_of(shape: tuple[int, ...]) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return b"\x93NUMPY\1\0" + stream.getvalue()[8:] + bytes(100)


def nifti_of(width: int, height: int) -> bytes:
    data = bytearray(nifti(GREY.astype(np.int16)))
    struct.pack_into("<2h", data, 42, width, height)
    return bytes(data)


BOMBS: dict[str, Callable[[], bytes]] = {
    "png of 100,000 x 100,000": lambda: png_of(width=100_000, height=100_000),
    "png of 2**31 columns": lambda: png_of(width=2**31 - 1, height=1),
    "png of 2**32 columns": lambda: png_of(width=2**32 - 1, height=2**32 - 1),
    "png of no rows": lambda: png_of(width=5, height=0),
    "png of 8193 rows": lambda: png_of(width=1, height=8193),
    "png of 13,000 x 13,000, honest": lambda: zeros_png(13_000),
    "png of 6000 x 6000, honest": lambda: zeros_png(6000),
    "png of 6000 x 6000, 16 bits": lambda: zeros_png(6000, depth=16),
    "png of 6000 x 6000, one bit": lambda: zeros_png(6000, depth=1),
    "png of 6300 x 6300, interlaced": lambda: png_of(width=6300, height=6300, interlaced=1, body=bytes(6300 * 6310)),
    "interlaced png without rows": lambda: png_of(width=6000, height=6000, interlaced=1),
    "png that inflates past its rows": lambda: png_of(width=2, height=2, body=bytes(1 << 28)),
    "png without pixels": lambda: raw_png(header_chunk(9, 9), END),
    "png of 3 bits": lambda: png_of(width=3, height=3, depth=3),
    "png of 32 bits": lambda: png_of(width=3, height=3, depth=32),
    "png of colour type 7": lambda: png_of(width=3, height=3, colour=7),
    "png of interlace method 9": lambda: png_of(width=3, height=3, interlaced=9),
    "png palette without entries": lambda: png_of(width=4, height=1, colour=3, body=b"\0\0\1\2\3"),
    "png palette out of range": lambda: palette_png(2),
    "png palette of 400 colours": lambda: palette_png(400),
    "png zTXt of 300 MB": lambda: text_bomb(b"zTXt", 300_000_000),
    "png iTXt of 300 MB": lambda: text_bomb(b"iTXt", 300_000_000),
    "png ICC profile of 300 MB": lambda: text_bomb(b"iCCP", 300_000_000),
    "png of 2000 packed texts": lambda: text_chunks(2000),
    "png of a million chunks": lambda: raw_png(header_chunk(9, 9), chunk(b"tEXt", b"") * 1_000_000, END),
    "png chunk of 4 GB": lambda: raw_png(header_chunk(9, 9), struct.pack(">I", 2**32 - 1) + b"IDAT"),
    "png of a million frames": lambda: png_of(width=3, height=3, extra=(chunk(b"acTL", struct.pack(">II", 10**6, 0)),)),
    "png of two headers": lambda: raw_png(header_chunk(1, 1), header_chunk(9000, 9000), END),
    "png of bad deflate": lambda: raw_png(header_chunk(9, 9), chunk(b"IDAT", b"\x78\x9c" + b"\xff" * 50), END),
    "png signature alone": raw_png,
    "jpeg of 65,535 x 65,535": lambda: jpeg_of(width=65_535, height=65_535),
    "jpeg of 6300 x 6300 with the pixels of 40 x 30": lambda: jpeg_of(width=6300, height=6300),
    "jpeg of no rows": lambda: jpeg_of(width=30, height=0),
    "jpeg of 30 more scans": lambda: many_scans(20),
    "jpeg of 5000 scans": lambda: many_scans(5000),
    "jpeg of a million comments": lambda: b"\xff\xd8" + b"\xff\xfe\0\2" * 1_000_000 + drawing.jpeg(GREY)[2:],
    "jpeg of 16 MB of fill bytes": lambda: b"\xff\xd8" + b"\xff" * (16 << 20) + drawing.jpeg(GREY)[3:],
    "jpeg of 200 pictures": many_pictures,
    "jpeg of 12 bits": lambda: drawing.jpeg(GREY).replace(b"\xff\xc0\0\x0b\x08", b"\xff\xc0\0\x0b\x0c"),
    "jpeg, arithmetic": lambda: drawing.jpeg(GREY).replace(b"\xff\xc0", b"\xff\xc9"),
    "jpeg, lossless": lambda: drawing.jpeg(GREY).replace(b"\xff\xc0", b"\xff\xc3"),
    "jpeg exif that points at itself": lambda: with_exif(
        b"MM\0*\0\0\0\x08\0\x01\x87\x69\0\4\0\0\0\1\0\0\0\x08\0\0\0\0"
    ),
    "jpeg exif of 65,535 entries": lambda: with_exif(b"MM\0*\0\0\0\x08\xff\xff" + b"\1\x12\0\3\0\0\0\1\0\6\0\0" * 3000),
    "tiff of 65,535 x 65,535": lambda: tiff_of(width=65_535, height=65_535),
    "tiff of 6300 x 6300 with the pixels of 40 x 34": lambda: tiff_of(width=6300, height=6300),
    "tiff whose directory follows itself": lambda: tiff_of(more=8),
    "tiff of 65,535 tags": lambda: b"II*\0\x08\0\0\0\xff\xff" + bytes(12 * 65_535 + 4),
    "bmp of 2**31 rows": lambda: bmp_of(1, 2**31 - 1),
    "bmp of minus 2**31 rows": lambda: bmp_of(1, -(2**31)),
    "gif of 65,535 x 65,535": lambda: b"GIF89a" + b"\xff" * 4 + bytes(20) + b";",
    "webp of 16,383 x 16,383": lambda: b"RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\xfe\x3f\0\xfe\x3f\0",
    "jpeg 2000 of 16,384 components": lambda: jp2_of(components=16_384),
    "jpeg 2000 of 8000 x 5000 without pixels": lambda: jp2_of(width=8000, height=5000),
    "npy of objects": lambda: npy(np.array([[{}]], object)),
    "npy of 100,000 x 100,000": lambda: npy_of(shape=(100_000, 100_000)),
    "nifti of 32,767 x 32,767": lambda: nifti_of(32_767, 32_767),
    "nifti packed to 500 MB": lambda: gzip.compress(bytes(500_000_000)),
    "dicom deflated to 500 MB": lambda: deflated(500_000_000),
    "dicom rle of 30,000 x 30,000": lambda: rle(Rows=30_000, Columns=30_000),
    "dicom rle of 6000 x 6000": lambda: rle(Rows=6000, Columns=6000),
    "dicom rle of 15 segments past the end": lambda: rle_segments(2**32 - 1),
    "dicom rle of overlapping segments": lambda: rle_segments(64),
    "dicom of a billion frames": lambda: drawing.dicom(GREY, bits=8, NumberOfFrames=10**9),
    "dicom of minus one frame": lambda: drawing.dicom(GREY, bits=8, NumberOfFrames=-1),
    "dicom of no frames": lambda: drawing.dicom(GREY, bits=8, NumberOfFrames=0),
    "dicom of 65,535 x 65,535": lambda: drawing.dicom(GREY, bits=8, Rows=65_535, Columns=65_535),
    "dicom of 8000 x 5000 without its pixels": lambda: drawing.dicom(GREY, bits=8, Rows=8000, Columns=5000),
    "dicom nested 500 deep": lambda: nested(500),
    "dicom nested 100,000 deep": lambda: nested(100_000),
    "dicom element of 4 GB": lambda: long_element(2**32 - 2),
    "dicom element without end": lambda: long_element(2**32 - 1),
    "dicom of 64 bits": lambda: drawing.dicom(GREY, bits=64, BitsAllocated=64),
    "dicom of 0 bits": lambda: drawing.dicom(GREY, bits=8, BitsAllocated=0, BitsStored=0, HighBit=0),
    "dicom of 13 bits in 12": lambda: drawing.dicom(GREY, bits=13, BitsAllocated=12),
    "dicom of high bit 40": lambda: drawing.dicom(GREY, bits=8, HighBit=40),
    "dicom palette out of range": lambda: palette(descriptor=[2, 0, 16], data=bytes(4)),
    "dicom palette without data": lambda: palette(data=b""),
    "dicom palette of 65,536 entries it lacks": lambda: palette(descriptor=[0, 0, 16]),
    "dicom palette of 5 bits": lambda: palette(descriptor=[256, 0, 5]),
    "dicom lut of 65,536 entries it lacks": lambda: drawing.dicom(
        GREY, bits=8, VOILUTSequence=drawing.lut([1, 2, 3])
    ).replace(b"US\x06\0\3\0", b"US\x06\0\0\0"),
    "dicom lut of nothing": lambda: drawing.dicom(GREY, bits=8, VOILUTSequence=[_item()]),
    "dicom window of 1e308": lambda: drawing.dicom(GREY, bits=8, WindowCenter="1e308", WindowWidth="1e-308"),
    "dicom slope of 1e308": lambda: drawing.dicom(GREY, bits=8, RescaleSlope="1e308", RescaleIntercept="1e308"),
    "dicom slope not a number": lambda: drawing.dicom(GREY, bits=8, RescaleSlope="nan", RescaleIntercept="inf"),
    "dicom jpeg 2000 of 65,535 x 65,535": lambda: j2k(65_535, 65_535),
    "dicom jpeg 2000 of 2**32 columns": lambda: j2k(2**32 - 1, 2**32 - 1),
    "dicom jpeg 2000 without tiles": lambda: j2k(30, 40),
    "dicom jpeg 2000 of 1200 tiles": lambda: j2k(30, 40, tile=1),
    "dicom jpeg of 65,535 x 65,535": lambda: drawing.dicom(
        GREY, bits=8, syntax=drawing.JPEG_BASELINE, frame=jpeg_of(width=65_535, height=65_535)
    ),
    "dicom without meta": lambda: bytes(128) + b"DICM",
    "dicom meta element of 4 GB": lambda: bytes(128) + b"DICM\x02\0\x01\0OB\0\0\xff\xff\xff\xff",
    "dicom in name only": lambda: bytes(128) + b"DICM" + b"\xff" * 4000,
}


def _item(**values: object) -> pydicom.Dataset:
    item = pydicom.Dataset()
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return item
