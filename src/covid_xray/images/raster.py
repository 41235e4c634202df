"""Decode PNG, JPEG, TIFF, BMP, GIF, WebP and JPEG 2000 bytes into one grey radiograph with Pillow.

Grey is ITU-R 601 luma, transparency becomes black, EXIF orientation is applied; ICC profiles and gamma are ignored,
since training sets come without them.
"""

import importlib
import io

import numpy as np
from PIL import Image, ImageChops

from covid_xray.errors import BadImage
from covid_xray.images import headers
from covid_xray.images.greyscale import luma
from covid_xray.images.radiograph import ImageSource, Radiograph, fit_bits, significant_bits
from covid_xray.limits import Limits

# Format of Pillow -> reader of its header, which is checked against the limits before Pillow sees the file.
_READERS = {
    "PNG": headers.read_png,
    "JPEG": headers.read_jpeg,
    "TIFF": headers.read_tiff,
    "BMP": headers.read_bmp,
    "GIF": headers.read_gif,
    "WEBP": headers.read_webp,
    "JPEG2000": headers.read_jp2,
}
_PLUGINS = {"TIFF": "Tiff", "BMP": "Bmp", "GIF": "Gif", "WEBP": "WebP", "JPEG2000": "Jpeg2K"}
_DEEP = {"RGB": "RGB;16L", "RGBA": "RGBA;16L", "LA": ""}  # mode: how to read the lower byte of 16-bit samples
_WHITE_IS_ZERO, _PHOTOMETRIC = 0, 0x0106  # TIFF tag
_ORIENTATION = 0x0112  # EXIF tag
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def read_raster(data: bytes, *, kind: str, limits: Limits) -> Radiograph:
    """Decode bytes of a picture format; `kind` is its name in Pillow, by the magic bytes.

    8-bit grey and colour files give `uint8`; 16-bit grey gives `uint16` with `bits` from `significant_bits`, and so do
    16-bit PNG with colours or alpha that use less than 16 bits. Of a GIF the first picture is read.

    Raises:
        BadImage: a limit is exceeded or the file is cut. Pillow's own exceptions come out as well.
    """
    header = _READERS[kind](data)
    headers.check(header, limits=limits)
    if kind in _PLUGINS:  # otherwise Pillow would import all of its plugins
        importlib.import_module(f"PIL.{_PLUGINS[kind]}ImagePlugin")
    with Image.open(io.BytesIO(data), formats=(kind,)) as image:
        if image.size != (header.width, header.height):
            raise BadImage("The file states two different sizes.", code="damaged")
        source = ImageSource(format=kind, photometric=image.mode)
        image.load()
        turn = _TURNS.get(_orientation(image))  # after the pixels, since PNG may hold EXIF behind them
        if image.mode in ("I", "F") and kind != "PNG":
            raise BadImage("The picture has more than 16 bits a sample. Save it with 8 or 16.", code="unsupported-bits")
        deep = _flatten_deep(data, image) if kind == "PNG" and header.bits == 16 and image.mode in _DEEP else None
        wide = image.mode.startswith("I") or deep is not None
        inverted = wide and kind == "TIFF" and image.tag_v2.get(_PHOTOMETRIC) == _WHITE_IS_ZERO  # type: ignore[attr-defined]
        grey = deep or (_flatten_wide(image) if wide else to_grey(image, bits=header.bits))
    if turn is not None:
        grey = grey.transpose(turn)
    if not wide:
        return Radiograph(np.array(grey), source=source)
    pixels = np.asarray(grey).astype(np.uint16)
    if kind == "JPEG2000":
        pixels >>= 16 - header.bits  # Pillow shifts 9..15 bits up to 16
    pixels, bits = fit_bits(pixels)
    return Radiograph(np.uint16(2**bits - 1) - pixels if inverted else pixels, bits=bits, source=source)


def to_grey(image: Image.Image, *, bits: int = 8) -> Image.Image:
    """Convert any 8-bit Pillow mode to mode L: ITU-R 601 luma, transparency on black. `bits`: the file's depth."""
    if "transparency" in image.info:
        image = _with_alpha(image, bits=bits)
    if image.mode in ("P", "CMYK"):
        image = image.convert("RGB")
    if image.mode == "PA":
        image = image.convert("RGBA")
    if image.mode in ("LA", "RGBA"):
        return ImageChops.multiply(image.convert("L"), image.getchannel("A"))
    return image if image.mode == "L" else image.convert("L")


def _orientation(image: Image.Image) -> int:
    """Read the EXIF orientation 1..8, or 1 where it is absent or broken, since that does not harm the pixels."""
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:
        return 1


def _with_alpha(image: Image.Image, *, bits: int) -> Image.Image:
    """Convert the transparent values in a PNG's tRNS chunk into an alpha channel."""
    clear = image.info["transparency"]
    if image.mode == "L" and bits < 8:  # Pillow brings the samples to 0..255, but not the values in tRNS
        image.info["transparency"] = clear * 255 // ((1 << bits) - 1)
    elif image.mode == "RGB" and bits == 16:
        image.info["transparency"] = tuple(value >> 8 for value in clear)
    return image.convert("LA" if image.mode in ("1", "L") else "RGBA")


def _flatten_deep(data: bytes, image: Image.Image) -> Image.Image | None:
    """Make mode I;16 of a 16-bit PNG with colours or alpha; None where it uses all 16 bits.

    Pillow keeps the upper byte of each sample alone, which of 12-bit samples is nearly black. It gives the lower one
    when it takes the file for little-endian, and grey with alpha as four channels of a byte.
    """
    with Image.open(io.BytesIO(data), formats=("PNG",)) as again:
        grey_alpha = again.tile[0].args == "LA;16B"
        again.tile = [tile._replace(args=_DEEP[image.mode] if not grey_alpha else "RGBA") for tile in again.tile]
        again.load()
        lower = np.asarray(again)
    upper = lower[..., ::2] if grey_alpha else np.asarray(image)
    lower = lower[..., 1::2] if grey_alpha else lower
    grey, seen = np.empty(lower.shape[:2], np.uint16), np.empty(lower.shape[:2], np.uint16)
    clear = image.info.get("transparency")
    for row in range(len(grey)):  # row by row, since 40 megapixels of floats are half a gigabyte
        samples = upper[row].astype(np.uint16) << np.uint16(8) | lower[row]
        colours = samples[:, :3] if samples.shape[1] > 2 else samples[:, [0, 0, 0]]
        seen[row] = luma(colours[np.newaxis], bits=16)[0]
        opaque = samples[:, -1] / 65_535 if samples.shape[1] in (2, 4) else np.any(colours != clear, axis=1)
        grey[row] = np.rint(seen[row] * opaque)
    return None if significant_bits(seen) == 16 else Image.fromarray(grey)


def _flatten_wide(image: Image.Image) -> Image.Image:
    """Make the transparent value of a 16-bit grey image, if tRNS names one, black."""
    clear = image.info.get("transparency")
    if clear is None:
        return image
    pixels = np.array(image)
    pixels[pixels == clear] = 0
    return Image.fromarray(pixels)
