"""Build the table from stored DICOM value to grey level: modality rescale or LUT, VOI LUT or window, MONOCHROME1.

Every step depends on the stored value alone, so it is computed once for each of the at most 65,536 values.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from covid_xray.errors import BadImage

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

Values = NDArray[np.float64]
Levels = NDArray[np.uint8] | NDArray[np.uint16]

COLOURS = ("Red", "Green", "Blue")
# The linear window of the standard is for whole numbers: it is one step narrower than stated. In optical densities of
# 0..4 that would lose a quarter of the film, so narrower windows of finer steps are taken as exact.
_FINE_WIDTH = 32
_PART = 1 << 20  # pixels that are looked up at once
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R 601


@dataclass(frozen=True, eq=False)
class Table:
    """Grey level of each stored value, 0 (black) to `2 ** bits - 1` (white); bones bright."""

    levels: Levels
    bits: int


@dataclass(frozen=True, eq=False)
class _Scale:
    """All values after the modality step, with their possible range and its bits; `fine`: steps smaller than 1."""

    values: Values
    low: float
    high: float
    bits: int
    fine: bool = False


@dataclass(frozen=True, eq=False)
class _Lut:
    """A DICOM lookup table: `data[0]` is for the input `first`; `bits` of its output."""

    data: NDArray[np.uint16]
    first: int
    bits: int

    def look_up(self, values: Values) -> Values:
        """Look up each value; those outside the table get its first or last entry (PS3.3 C.11.1.1)."""
        places = np.clip(np.rint(values) - self.first, 0, len(self.data) - 1)
        return self.data[places.astype(np.intp)].astype(np.float64)


def grey_table(
    dataset: "Dataset", *, bits: int, signed: bool, inverted: bool, used: tuple[int, int] | None = None
) -> Table:
    """Build the table for pixels of `bits` stored bits (two's complement when `signed`).

    The first VOI LUT wins over the first window, as in pydicom; with neither, the range `used` becomes black to white.

    Args:
        dataset: the tags, with numbers that can be converted.
        bits, signed: of the stored values.
        inverted: low values are bright: MONOCHROME1, or the Presentation LUT Shape INVERSE.
        used: least and greatest stored value of an image without a window; default: those of the stored type.

    Raises:
        BadImage: `damaged`, a lookup table without its data, or a rescale to infinite or equal values.
    """
    scale = _apply_modality(dataset, _stored_values(bits, signed=signed), bits=bits, used=used)
    if not 0 < scale.high - scale.low < np.inf:
        raise BadImage("The DICOM rescale gives infinite or equal values.", code="damaged")
    fraction, bits = _apply_voi(dataset, scale)
    white = 2**bits - 1
    levels = np.rint(np.clip(fraction, 0, 1) * white)
    if inverted:
        levels = white - levels
    return Table(levels.astype(np.uint8 if bits == 8 else np.uint16), bits)


def look_up(levels: Levels, codes: NDArray[np.uint16]) -> Levels:
    """Return the level of each code, H x W; part by part, since NumPy makes indices of eight bytes."""
    white = levels.max()
    if np.array_equal(levels, np.minimum(np.arange(len(levels)), white)):  # nothing is changed but what is too bright
        return np.minimum(codes, white, dtype=np.uint16).astype(levels.dtype, copy=False)
    found = np.empty(codes.shape, levels.dtype)
    step = max(1, _PART // max(1, codes.shape[1]))
    for start in range(0, len(codes), step):
        np.take(levels, codes[start : start + step], out=found[start : start + step], mode="clip")
    return found


def is_inverted(dataset: "Dataset") -> bool:
    """Return whether low values are bright: by Presentation LUT Shape first, as in DCMTK and dcm4che."""
    shape = str(dataset.get("PresentationLUTShape") or "").strip().upper()
    return shape == "INVERSE" or (shape != "IDENTITY" and dataset.get("PhotometricInterpretation") == "MONOCHROME1")


def has_voi(dataset: "Dataset") -> bool:
    """Return whether a VOI LUT, a window or a modality LUT fixes which values are black and white."""
    luts = (first_item(dataset, keyword) for keyword in ("VOILUTSequence", "ModalityLUTSequence"))
    return window(dataset) is not None or any(item is not None for item in luts)


def voi_top(dataset: "Dataset") -> float:
    """Return the stored value at which the window, or the lookup table, ends."""
    limits, item = window(dataset), first_item(dataset, "VOILUTSequence")
    if item is not None:
        entries, first, _ = _descriptor(item.get("LUTDescriptor"))
        return float(first + (entries or 65_536))
    slope, intercept = number(dataset, "RescaleSlope") or 1.0, number(dataset, "RescaleIntercept") or 0.0
    return 0.0 if limits is None else (limits[0] + limits[1] / 2 - intercept) / slope


def palette_table(dataset: "Dataset", *, bits: int, signed: bool) -> Table:
    """Build the table for palette pixels: the luma of each colour, in 8 or 16 bits. Raises `BadImage` (`damaged`)."""
    name = "{}PaletteColorLookupTable{}".format
    luts = [
        read_lut(dataset, descriptor=name(colour, "Descriptor"), data=name(colour, "Data"), negative=signed)
        for colour in COLOURS
    ]
    values = _stored_values(bits, signed=signed)
    colours = np.stack([lut.look_up(values) for lut in luts], axis=-1).astype(np.uint16)
    depth = 8 if all(lut.bits == 8 for lut in luts) else 16
    return Table(luma(colours[np.newaxis], bits=depth)[0], depth)


def luma(colours: NDArray[np.generic], *, bits: int) -> Levels:
    """Convert H x W x 3 colours of `bits` bits to ITU-R 601 luma; at 8 bits by Pillow, as for PNG and JPEG."""
    if bits == 8:
        return np.array(Image.fromarray(np.ascontiguousarray(colours, dtype=np.uint8)).convert("L"))
    words = colours.view(np.uint16) & np.uint16(2**bits - 1)
    return np.rint(words.astype(np.float32) @ _LUMA).astype(np.uint16)


def apply_window(values: Values, *, centre: float, width: float, function: str = "LINEAR") -> Values:
    """Map values to 0..1 by a window, PS3.3 C.11.2.1.2 (linear) and C.11.2.1.3 (linear-exact, sigmoid).

    A linear window of width 1 is a step; below 1, which the standard rules out, it is linear-exact, as in viewers.
    """
    if function == "SIGMOID":
        # Beyond e**60 the fraction is 0 in every bit depth; clipping keeps exp from overflowing.
        return 1 / (1 + np.exp(np.clip(-4 * (values - centre) / width, -60, 60)))
    if function == "LINEAR_EXACT" or width < 1:
        return np.clip((values - centre) / width + 0.5, 0, 1)
    if width == 1:
        return (values > centre - 0.5).astype(np.float64)
    return np.clip((values - (centre - 0.5)) / (width - 1) + 0.5, 0, 1)


def read_lut(item: "Dataset", *, descriptor: str = "LUTDescriptor", data: str = "LUTData", negative: bool) -> _Lut:
    """Read a lookup table; `negative`: whether its input may be below zero.

    Raises:
        BadImage: `damaged`, the descriptor or the data is missing or too short.
    """
    entries, first, bits = _descriptor(item.get(descriptor))
    first = first - 65_536 if negative and first >= 32_768 else first
    entries = entries or 65_536  # 0 means 2**16, which does not fit 16 bits
    levels = _lut_data(item.get(data), entries)
    return _Lut(levels, first, _lut_bits(int(levels.max()), stated=bits))


def number(dataset: "Dataset", keyword: str) -> float | None:
    """Return the first value of a numeric tag, or None where it is absent, empty or not finite."""
    value = dataset.get(keyword)
    if not isinstance(value, str | bytes) and hasattr(value, "__len__"):
        value = value[0] if len(value) else None
    if value is None or value == "":
        return None
    first = float(value)
    return first if np.isfinite(first) else None


def _stored_values(bits: int, *, signed: bool) -> Values:
    codes = np.arange(1 << bits, dtype=np.int64)
    if signed:
        codes -= (codes >> (bits - 1)) << bits
    return codes.astype(np.float64)


def first_item(dataset: "Dataset", keyword: str) -> "Dataset | None":
    """Return the first item of a sequence that holds any value: some devices write items of empty elements."""
    items = dataset.get(keyword) or ()
    return next((item for item in items if any(element.VM for element in item)), None)


def window(dataset: "Dataset") -> tuple[float, float] | None:
    """Return centre and width of the first window; None where there is none, or its width is not positive."""
    centre, width = number(dataset, "WindowCenter"), number(dataset, "WindowWidth")
    return None if centre is None or width is None or width <= 0 else (centre, width)


def _apply_modality(dataset: "Dataset", values: Values, *, bits: int, used: tuple[int, int] | None) -> _Scale:
    item = first_item(dataset, "ModalityLUTSequence")
    if item is not None:
        lut = read_lut(item, negative=bool(values.min() < 0))
        return _Scale(lut.look_up(values), 0, 2**lut.bits - 1, lut.bits)
    slope = number(dataset, "RescaleSlope") or 1.0  # absent, or a slope of 0 that would erase the picture
    intercept = number(dataset, "RescaleIntercept") or 0.0
    least, most = used or (float(values.min()), float(values.max()))
    low, high = sorted((least * slope + intercept, most * slope + intercept))
    bits = bits if used is None else (used[1] - used[0]).bit_length()
    return _Scale(values * slope + intercept, low, high, bits, fine=abs(slope) < 1)


def _apply_voi(dataset: "Dataset", scale: _Scale) -> tuple[Values, int]:
    item = first_item(dataset, "VOILUTSequence")
    if item is not None:
        lut = read_lut(item, negative=bool(scale.values.min() < 0))
        return lut.look_up(scale.values) / (2**lut.bits - 1), lut.bits
    bits, limits = max(scale.bits, 8), window(dataset)
    if limits is None:
        return (scale.values - scale.low) / (scale.high - scale.low), bits
    function = str(dataset.get("VOILUTFunction") or "LINEAR").strip().upper()
    if function == "LINEAR" and scale.fine and limits[1] < _FINE_WIDTH:
        function = "LINEAR_EXACT"
    return apply_window(scale.values, centre=limits[0], width=limits[1], function=function), bits


def _descriptor(value: Any) -> tuple[int, int, int]:
    if isinstance(value, bytes):  # implicit VR where pydicom could not tell US from SS
        value = np.frombuffer(value[: len(value) // 2 * 2], "<u2")
    if value is None or len(value) != 3:
        raise BadImage("A DICOM lookup table has no descriptor.", code="damaged")
    entries, first, bits = (int(part) & 0xFFFF for part in value)
    return entries, first, bits


def _lut_data(value: Any, entries: int) -> NDArray[np.uint16]:
    """Return the entries as words; where one is missing at the end, the last one is repeated, as DCMTK does."""
    if isinstance(value, bytes):
        narrow = entries - 1 <= len(value) <= entries + 1  # bytes, padded to an even number
        value = np.frombuffer(value[: entries if narrow else len(value) // 2 * 2], np.uint8 if narrow else "<u2")
    elif value is None or not hasattr(value, "__len__"):
        value = [] if value is None else [value]
    if len(value) == 0 or len(value) < entries - 1:
        raise BadImage("A DICOM lookup table has too few entries.", code="damaged")
    words = (np.asarray(value[:entries], dtype=np.int64) & 0xFFFF).astype(np.uint16)
    return np.pad(words, (0, entries - len(words)), mode="edge")


def _lut_bits(most: int, *, stated: int) -> int:
    """Return the bits of a table's output, 8..16. Many files state 16, their word size, and use 8, 10, 12 or 14."""
    if stated >= 16 or most >= 1 << max(stated, 8):
        return next(bits for bits in (8, 10, 12, 14, 16) if most < 1 << bits)
    return max(stated, 8)
