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
    pixels, white = radiograph.pixels, np.float32(2**radiograph.bits - 1)
    height, width = pixels.shape
    step = max(1, min(height, width) // _THINNED)
    thin = pixels[::step, ::step] / white
    steps = [np.log(_mean_step(_centre(pixels) / white, lag) + _LEAST_STEP) for lag in LAGS]
    figures = [
        *np.quantile(thin, QUANTILES),
        np.mean((thin == thin.min()) | (thin == thin.max())),
        _edge(thin),
        np.log(width / height),
        np.log(height),
        *(steps[i] - steps[i + 1] for i in range(len(steps) - 1)),
    ]
    source = radiograph.source
    return Appearance(np.asarray(figures, np.float32), view=source.view, vendor=source.vendor)


def _centre(pixels: NDArray[np.uint8] | NDArray[np.uint16]) -> NDArray[np.uint8] | NDArray[np.uint16]:
    top, left = (max(0, (side - _CENTRE) // 2) for side in pixels.shape)
    return pixels[top : top + _CENTRE, left : left + _CENTRE]


def _mean_step(pixels: NDArray[np.floating], lag: int) -> float:
    steps = [np.abs(pixels[lag:] - pixels[:-lag]), np.abs(pixels[:, lag:] - pixels[:, :-lag])]
    return float(np.mean([found.mean() for found in steps if found.size] or [0.0]))


def _edge(pixels: NDArray[np.floating]) -> float:
    rows, columns = (max(1, round(_EDGE * side)) for side in pixels.shape)
    sides = (pixels[:rows], pixels[-rows:], pixels[:, :columns], pixels[:, -columns:])
    return float(np.mean([side.mean() for side in sides]))
