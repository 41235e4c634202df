"""Decode DICOM bytes into one grey radiograph with pydicom.

Nothing is parsed before the transfer syntax is accepted, and no pixel is decoded before the size in the tags and in
the compressed stream is checked against the limits.
"""

import io
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from covid_xray.errors import BadImage
from covid_xray.images import dicom_file, dicom_tags, greyscale, headers
from covid_xray.images.dicom_file import LOSSY
from covid_xray.images.dicom_pixels import SAMPLES, Layout, Pixels, check_pixel_data, decode_pixels
from covid_xray.images.radiograph import Radiograph, significant_bits
from covid_xray.limits import Limits

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_TAGS = [
    # layout of the pixels
    *("Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelData"),
    # meaning of their values
    *("RescaleSlope", "RescaleIntercept", "ModalityLUTSequence"),
    *("VOILUTSequence", "WindowCenter", "WindowWidth", "VOILUTFunction", "PresentationLUTShape", "PixelPaddingValue"),
    *(f"{colour}PaletteColorLookupTable{part}" for colour in greyscale.COLOURS for part in ("Descriptor", "Data")),
    *dicom_tags.TAGS,
]


def read_dicom(data: bytes, *, limits: Limits) -> Radiograph:
    """Decode the bytes of a DICOM file: rescaled, windowed, MONOCHROME1 inverted, colour converted to grey.

    Returns `uint8` when the grey levels fit 8 bits, else `uint16` with `bits` 9..16. Modality, view position,
    spacing and vendor go into `source`; no other tag leaves this function.

    Raises:
        BadImage: codes as in `decode.decode`. pydicom's own exceptions also come out, for `decode` to contain.
    """
    data, syntax, warnings = dicom_file.normalise(data, limits=limits)
    import pydicom

    dataset = pydicom.dcmread(io.BytesIO(data), specific_tags=[*_TAGS])
    if dicom_file.repair(dataset):
        warnings = (*warnings, dicom_file.INVALID_VALUE)
    layout = _read_layout(dataset, syntax, limits=limits)
    if dicom_tags.is_for_processing(dataset):
        raise BadImage(
            "A raw image of the detector (FOR PROCESSING). Give the one that was processed for presentation.",
            code="for-processing",
        )
    precision = check_pixel_data(dataset, layout, limits=limits)
    if precision > layout.allocated:
        layout = replace(layout, allocated=16, stored=precision, high=precision - 1)
    decoded = decode_pixels(dataset, layout, precision=precision)
    pixels, bits = _to_grey(dataset, layout, decoded)
    source = dicom_tags.source_of(
        dataset, photometric=layout.photometric, warnings=(*warnings, *decoded.warnings, *_contradiction(dataset))
    )
    return _upright(Radiograph(pixels, bits=bits, source=source), dataset)


def _upright(radiograph: Radiograph, dataset: "Dataset") -> Radiograph:
    """Turn a frontal film that lay on its side or head, and say where it is mirrored."""
    turns, mirrored = dicom_tags.orientation(dataset)
    found = [code for code, holds in (("turned-back", turns), ("mirrored", mirrored)) if holds]
    if not found or dicom_tags.view_of(dataset) not in (None, *dicom_tags.FRONTAL):
        return radiograph
    source = radiograph.source
    spacing = source.spacing[::-1] if source.spacing and turns % 2 else source.spacing
    source = replace(source, turned=turns, spacing=spacing, warnings=(*source.warnings, *found))
    pixels: greyscale.Levels = np.rot90(radiograph.pixels, turns).copy() if turns else radiograph.pixels
    return Radiograph(pixels, bits=radiograph.bits, source=source)


def _contradiction(dataset: "Dataset") -> tuple[str, ...]:
    shape = str(dataset.get("PresentationLUTShape") or "").strip().upper()
    wanted = {"INVERSE": "MONOCHROME1", "IDENTITY": "MONOCHROME2"}.get(shape)
    grey = str(dataset.get("PhotometricInterpretation")).startswith("MONOCHROME")
    return ("contradictory-polarity",) if grey and wanted not in (None, dataset.PhotometricInterpretation) else ()


def _read_layout(dataset: "Dataset", syntax: str, *, limits: Limits) -> Layout:
    """Read the layout of the pixels; refuse one that is unknown or exceeds a limit."""
    if "PixelData" not in dataset or "Rows" not in dataset or "Columns" not in dataset:
        raise BadImage("The DICOM object holds no pixels. Give an image object.", code="no-pixels")
    photometric = str(dataset.get("PhotometricInterpretation") or "").strip("\0 ").upper()
    samples = _whole(dataset, "SamplesPerPixel", 1)
    if SAMPLES.get(photometric) != samples:
        accepted = f"Accepted: {', '.join(SAMPLES)}."
        raise BadImage(f"Unsupported photometric interpretation. {accepted}", code="unsupported-photometric")
    rows, columns = _whole(dataset, "Rows", 0), _whole(dataset, "Columns", 0)
    allocated = _whole(dataset, "BitsAllocated", 0)
    stored = _whole(dataset, "BitsStored", allocated)
    frames = max(1, _whole(dataset, "NumberOfFrames", 1))  # some devices write 0 for one
    headers.check(headers.Header(columns, rows, stored, frames=frames), limits=limits)
    if allocated not in (8, 16) or not limits.min_bits <= stored <= allocated:
        accepted = f"Accepted: {limits.min_bits}..{limits.max_bits} bits stored in 8 or 16."
        raise BadImage(f"Unsupported depth: {stored} bits stored in {allocated}. {accepted}", code="unsupported-bits")
    high = _whole(dataset, "HighBit", stored - 1)
    signed = _whole(dataset, "PixelRepresentation", 0) == 1
    layout = Layout(syntax, photometric, rows, columns, allocated, stored, high, signed)
    dataset.PhotometricInterpretation, dataset.NumberOfFrames, dataset.SamplesPerPixel = photometric, frames, samples
    dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = stored, stored - 1, int(signed)
    return layout


def _whole(dataset: "Dataset", keyword: str, absent: int) -> int:
    value = greyscale.number(dataset, keyword)
    return absent if value is None else int(value)


def _to_grey(dataset: "Dataset", layout: Layout, decoded: Pixels) -> tuple[greyscale.Levels, int]:
    """Convert stored pixels to grey levels, H x W, and their bits."""
    pixels, bits = decoded.values, layout.stored
    if layout.samples == 3:
        return greyscale.luma(pixels, bits=bits), bits
    if layout.syntax in LOSSY and pixels.itemsize == 2:  # lossy white may exceed the range: 4097 of 12 bits
        half = 1 << (bits - 1)
        low, high = (-half, half - 1) if pixels.dtype.kind == "i" else (0, 2 * half - 1)
        pixels = pixels.clip(low, high)
    codes = _codes(pixels, layout, decoded.precision)
    if layout.photometric == "PALETTE COLOR":
        table = greyscale.palette_table(dataset, bits=bits, signed=layout.signed)
        return greyscale.look_up(table.levels, codes), table.bits
    used = None
    if not greyscale.has_voi(dataset):
        used = _used_range(codes, layout, decoded.precision, padding=greyscale.number(dataset, "PixelPaddingValue"))
    elif 0 < decoded.precision <= 8 < bits and greyscale.voi_top(dataset) > 1 << (decoded.precision + 1):
        codes = codes << np.uint16(bits - decoded.precision)  # the window was made for the pixels before compression
    inverted = greyscale.is_inverted(dataset)
    table = greyscale.grey_table(dataset, bits=bits, signed=layout.signed, inverted=inverted, used=used)
    return greyscale.look_up(table.levels, codes), table.bits


def _codes(pixels: NDArray[np.generic], layout: Layout, precision: int) -> NDArray[np.uint16]:
    """Return the stored bits of each pixel as a number from 0; bits outside them may hold anything, old overlays say.

    A compressed stream holds either the whole word or the stored bits alone: its precision tells which.
    """
    if pixels.dtype == np.int8:
        pixels = pixels.astype(np.int16)
    words: NDArray[np.unsignedinteger] = pixels.view(np.uint8 if pixels.itemsize == 1 else np.uint16)
    room = layout.stored <= layout.high + 1 <= (precision or layout.allocated)
    shift, mask = (layout.high + 1 - layout.stored if room else 0), 2**layout.stored - 1
    if shift:
        words = words >> words.dtype.type(shift)
    if mask < np.iinfo(words.dtype).max:
        words = words & words.dtype.type(mask)
    return words.astype(np.uint16, copy=False)


def _used_range(
    codes: NDArray[np.uint16], layout: Layout, precision: int, *, padding: float | None
) -> tuple[int, int] | None:
    """Return the least and greatest value that an image without a window may hold, where that is less than stated.

    The bits of the compressed stream count, else the significant bits of the pixels, as those of a PNG. Signed values
    that are all positive are taken as unsigned.
    """
    stored = layout.stored
    if padding is not None and (kept := codes != int(padding) & (2**stored - 1)).any():
        codes = codes[kept]
    negative = layout.signed and bool((codes >> np.uint16(stored - 1)).any())
    if negative:
        sign = np.uint16(2**stored - 1)
        codes = np.where(codes >> np.uint16(stored - 1), codes ^ sign, codes) << np.uint16(1)
    bits = precision if 0 < precision < stored else min(stored, significant_bits(codes))
    if bits == stored and (negative or not layout.signed):
        return None
    return (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if negative else (0, 2**bits - 1)
