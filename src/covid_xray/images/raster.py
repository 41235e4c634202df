"""Decode PNG and JPEG bytes into one grey radiograph with Pillow.

Grey is ITU-R 601 luma, transparency becomes black, EXIF orientation is applied; ICC profiles and gamma are ignored,
since training sets come without them.
"""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops

from covid_xray.errors import BadImage
from covid_xray.images import headers
from covid_xray.images.radiograph import ImageSource, Radiograph
from covid_xray.limits import Limits

_READERS = {"PNG": headers.read_png, "JPEG": headers.read_jpeg}
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
    """Decode PNG or JPEG bytes; `kind` is `"PNG"` or `"JPEG"`, by the magic bytes.

    8-bit grey and all colour files give `uint8`; 16-bit grey PNG gives `uint16` with `bits` from `significant_bits`.

    Raises:
        BadImage: a limit is exceeded or the file is cut. Pillow's own exceptions come out as well.
    """
    header = _READERS[kind](data)
    headers.check(header, limits=limits)
    with Image.open(io.BytesIO(data), formats=(kind,)) as image:
        if image.size != (header.width, header.height):
            raise BadImage("The file states two different sizes.", code="damaged")
        source = ImageSource(format=kind, photometric=image.mode)
        image.load()
        turn = _TURNS.get(_orientation(image))  # after the pixels, since PNG may hold EXIF behind them
        wide = image.mode.startswith("I")
        grey = _flatten_wide(image) if wide else to_grey(image, bits=header.bits)
    if turn is not None:
        grey = grey.transpose(turn)
    if not wide:
        return Radiograph(np.array(grey), source=source)
    pixels = np.asarray(grey).astype(np.uint16)
    return Radiograph(pixels, bits=significant_bits(pixels), source=source)


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


def significant_bits(pixels: NDArray[np.uint16]) -> int:
    """Return the used bits of a 16-bit grey image: the smallest of 10, 12, 14, 16 that holds the maximum.

    Many exports store 10, 12 or 14 bits unscaled in 16-bit files; with white at 65,535 they would be almost black. An
    8-bit image stretched to 16 bits (each value times 257) has 16, however dark it is.
    """
    most = int(pixels.max(initial=0))
    if most >= 1 << 14 or (most > 0 and not np.any(pixels % 257)):
        return 16
    return next(bits for bits in (10, 12, 14) if most < 1 << bits)


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


def _flatten_wide(image: Image.Image) -> Image.Image:
    """Make the transparent value of a 16-bit grey image, if tRNS names one, black."""
    clear = image.info.get("transparency")
    if clear is None:
        return image
    pixels = np.array(image)
    pixels[pixels == clear] = 0
    return Image.fromarray(pixels)
