"""The type that crosses the house from here on: one grey picture and what its file said about it."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class ImageSource:
    """What the file said about itself; `None` where it said nothing.

    Args:
        format: `"PNG"`, `"JPEG"`, `"DICOM"` or `"array"` (made in memory).
        photometric: Pillow mode (`"L"`, `"RGB"`, `"P"`, ...) or DICOM photometric interpretation, as stored.
        view: DICOM view position, upper case (`"PA"`, `"AP"`, `"LL"`, ...).
        spacing: distance of pixel centres in mm, (row, column).
        modality: DICOM modality, one of the standard's defined terms (`"CR"`, `"DX"`, `"CT"`, ...).
    """

    format: str = "array"
    photometric: str | None = None
    view: str | None = None
    spacing: tuple[float, float] | None = None
    modality: str | None = None


@dataclass(frozen=True, eq=False)
class Radiograph:
    """One grey radiograph: lungs dark, bones bright, upright as the file says.

    Args:
        pixels: H x W array, `uint8` when `bits` is 8, else `uint16`.
        bits: number of significant bits, 8..16; white is `2 ** bits - 1`.
        source: what the file said about itself.
    """

    pixels: NDArray[np.uint8] | NDArray[np.uint16]
    bits: int = 8
    source: ImageSource = field(default_factory=ImageSource)

    def __post_init__(self) -> None:
        expected = np.uint8 if self.bits == 8 else np.uint16
        if self.pixels.ndim != 2 or self.pixels.dtype != expected or not 8 <= self.bits <= 16:
            raise ValueError(
                f"expected H x W uint8 with bits=8, or H x W uint16 with bits 9..16. "
                f"Received: shape={self.pixels.shape}, dtype={self.pixels.dtype}, bits={self.bits}"
            )
