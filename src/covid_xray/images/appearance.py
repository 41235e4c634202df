"""Measure what a change of detector or processing moves in a radiograph: greys, sharpness, size.

The network of lungs alone sees equalised pixels and may not notice such a change; these figures are of the picture as
it came.
"""

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from covid_xray.images.radiograph import Radiograph

Figures = NDArray[np.float32]
Greys = NDArray[np.uint8] | NDArray[np.uint16]

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
LAGS = (1, 2, 4, 8)  # pixels
FIGURES = (
    *(f"grey at {100 * q:.0f} %" for q in QUANTILES),
    "extreme greys",
    "grey of the edge",
    "aspect",
    "height",
    *(f"steps at {a} to {b} pixels" for a, b in itertools.pairwise(LAGS)),
)
_THINNED = 192  # rows and columns that are kept at least for the greys
_CENTRE = 512  # rows and columns in the middle that are kept for the steps
_EDGE = 0.06  # width of the edge as a share of the picture
_LEAST_STEP = 1e-4  # share of white, so that a flat picture has a logarithm


@dataclass(frozen=True, eq=False)
class Appearance:
    """The figures of one radiograph in the order of `FIGURES`, and what its file says of view and vendor."""

    figures: Figures
    view: str | None = None
    vendor: str | None = None


def appearance(radiograph: Radiograph) -> Appearance:
    """Measure one radiograph of any size and depth.

    Greys are shares of white, 0..1. `extreme greys` is the share of pixels with the least or the greatest grey;
    `aspect` and `height` are logarithms, and so are the ratios of the mean grey step between pixels one lag apart to
    that of the next lag, which noise, sharpening and resampling move.
    """
    pixels, white = radiograph.pixels, 2**radiograph.bits - 1
    height, width = pixels.shape
    step = max(1, min(height, width) // _THINNED)
    thin, centre = pixels[::step, ::step].copy(), _centre(pixels)
    steps = [np.log(_mean_step(centre, lag) / white + _LEAST_STEP) for lag in LAGS]
    figures = [
        *(_quantiles(thin) / white),
        share_of_extremes(thin),
        _edge(thin) / white,
        np.log(width / height),
        np.log(height),
        *(steps[i] - steps[i + 1] for i in range(len(steps) - 1)),
    ]
    source = radiograph.source
    return Appearance(np.asarray(figures, np.float32), view=source.view, vendor=source.vendor)


def share_of_extremes(pixels: Greys) -> float:
    """Compute the share of pixels that have the least or the greatest grey, 0..1."""
    low, high = pixels.min(), pixels.max()
    count = np.count_nonzero(pixels == low) + (np.count_nonzero(pixels == high) if high > low else 0)
    return count / pixels.size


def _quantiles(pixels: Greys) -> NDArray[np.float64]:
    """Compute the `QUANTILES`, linear between neighbours, from the histogram."""
    places = np.array(QUANTILES) * (pixels.size - 1)
    low = places.astype(np.intp)
    up_to = np.bincount(pixels.ravel()).cumsum()  # pixels of each grey and all darker ones
    grey, following = (np.searchsorted(up_to, np.minimum(low + i, pixels.size - 1), side="right") for i in (0, 1))
    return np.asarray(grey + (places - low) * (following - grey))


def _centre(pixels: Greys) -> Greys:
    top, left = (max(0, (side - _CENTRE) // 2) for side in pixels.shape)
    return pixels[top : top + _CENTRE, left : left + _CENTRE]


def _mean_step(pixels: Greys, lag: int) -> float:
    pairs = ((pixels[lag:], pixels[:-lag]), (pixels[:, lag:], pixels[:, :-lag]))
    return float(np.mean([_mean(np.maximum(a, b) - np.minimum(a, b)) for a, b in pairs if a.size] or [0.0]))


def _mean(pixels: Greys) -> float:
    return float(pixels.sum(dtype=np.uint32 if pixels.dtype == np.uint8 else np.uint64)) / pixels.size


def _edge(pixels: Greys) -> float:
    rows, columns = (max(1, round(_EDGE * side)) for side in pixels.shape)
    sides = (pixels[:rows], pixels[-rows:], pixels[:, :columns], pixels[:, -columns:])
    return float(np.mean([_mean(side) for side in sides]))
