"""Define the grey radiograph that all other rooms work with."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

_MARKERS = 0.01  # share of the pixels


@dataclass(frozen=True)
class ImageSource:
    """Metadata of an image file; `None` where the file states none.

    Args:
        format: `"PNG"`, `"JPEG"`, `"DICOM"`, `"TIFF"`, `"BMP"`, `"GIF"`, `"WEBP"`, `"JPEG2000"`, `"NIfTI"`, `"NPY"`, or
            `"array"` (made in memory).
        photometric: Pillow mode (`"L"`, `"RGB"`, `"P"`, ...) or DICOM photometric interpretation, as stored.
        view: DICOM view position, upper case (`"PA"`, `"AP"`, `"LL"`, ...).
        spacing: distance of pixel centres in mm, (row, column).
        modality: DICOM modality (`"CR"`, `"DX"`, `"CT"`, ...).
        vendor: manufacturer of the device, one of a short list (`"SIEMENS"`, `"GE"`, ...) or `"OTHER"`.
        turned: quarter turns to the left by which the pixels were brought upright, 0..3.
        warnings: codes of what was wrong with the file and how it was read (`dicom_file.WARNINGS`).
        patient: SHA-256 of the patient's number and who gave it, never the number itself.
    """

    format: str = "array"
    photometric: str | None = None
    view: str | None = None
    spacing: tuple[float, float] | None = None
    modality: str | None = None
    vendor: str | None = None
    turned: int = 0
    warnings: tuple[str, ...] = ()
    patient: str | None = None


@dataclass(frozen=True, eq=False)
class Radiograph:
    """One grey radiograph: lungs dark, bones bright, upright.

    Args:
        pixels: H x W array, `uint8` when `bits` is 8, else `uint16`.
        bits: number of significant bits, 8..16; white is `2 ** bits - 1`.
        source: metadata of the file.

    Examples:
        >>> import numpy as np
        >>> from covid_xray import Radiograph
        >>> Radiograph(np.zeros((40, 30), dtype=np.uint16), bits=12).pixels.shape
        (40, 30)
    """

    pixels: NDArray[np.uint8] | NDArray[np.uint16]
    bits: int = 8
    source: ImageSource = field(default_factory=ImageSource)

    def __post_init__(self) -> None:
        expected = np.uint8 if self.bits == 8 else np.uint16
        if self.pixels.ndim != 2 or self.pixels.dtype != expected or not 8 <= self.bits <= 16:
            raise ValueError(
                f"Unsupported pixels: shape={self.pixels.shape}, dtype={self.pixels.dtype}, bits={self.bits}. "
                "Give H x W uint8 with bits=8, or H x W uint16 with bits 9..16."
            )


def fit_bits(pixels: NDArray[np.uint16]) -> tuple[NDArray[np.uint16], int]:
    """Return a 16-bit grey image with its used bits as in `significant_bits`; brighter marker pixels become white."""
    bits = significant_bits(pixels)
    white = np.uint16(2**bits - 1)
    return (np.minimum(pixels, white) if pixels.max(initial=0) > white else pixels), bits


def significant_bits(pixels: NDArray[np.uint16]) -> int:
    """Return the used bits of a 16-bit grey image: the smallest of 10, 12, 14, 16 that holds it.

    Many exports store 10, 12 or 14 bits unscaled in 16-bit files; with white at 65,535 they would be almost black. Up
    to `_MARKERS` of the pixels, each brighter than twice the white of all others, are taken for marks that someone
    drew and do not count. An 8-bit image stretched to 16 bits (each value times 257) has 16, however dark it is.
    """
    most = int(pixels.max(initial=0))
    if most and _is_stretched(pixels):
        return 16
    few = int(_MARKERS * pixels.size)
    for bits in (10, 12, 14):
        if most < 1 << bits:
            return bits
        above = int(np.count_nonzero(pixels >= 1 << bits))
        if above <= few and above == int(np.count_nonzero(pixels >= 1 << (bits + 1))):
            return bits
    return 16


def _is_stretched(pixels: NDArray[np.uint16]) -> bool:
    """Return whether all values are 257 times a byte: their two bytes are equal."""
    halves = np.ascontiguousarray(pixels).view(np.uint8).reshape(-1, 2)
    return bool(np.all(halves[::97, 0] == halves[::97, 1]) and np.all(halves[:, 0] == halves[:, 1]))
