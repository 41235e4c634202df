"""Compute the features of the gate: a thumbnail of 32 x 32, a few plain figures, and tags of the file.

Numpy only and a fraction of a millisecond: it runs for every image. Large pictures are thinned out, then averaged.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from covid_xray.images.appearance import share_of_extremes
from covid_xray.images.radiograph import Radiograph

Thumbnails = NDArray[np.float32]
Features = NDArray[np.float64]

SIDE = 32  # of the thumbnail
CELLS = 8  # of the layout: 8 x 8 mean greys, enough to see lungs, heart, neck and belly
GRAIN = 4  # of the fine structure: 4 x 4
LAYOUT = CELLS**2 + GRAIN**2  # values of `layout`
_THINNED = 192  # a picture keeps at least this many rows and columns before averaging
_FLAT = 0.02  # added to spreads (shares of white), so that a flat picture divides by no zero

# Possible changes of a picture, as functions of N x 32 x 32; "turned left" is counter-clockwise.
WAYS: Mapping[str, Callable[[Thumbnails], Thumbnails]] = {
    "as it is": lambda t: t,
    "inverted": lambda t: 1 - t,
    "upside down": lambda t: t[:, ::-1, ::-1],
    "turned left": lambda t: np.rot90(t, 1, (1, 2)),
    "turned right": lambda t: np.rot90(t, -1, (1, 2)),
    "inverted and upside down": lambda t: 1 - t[:, ::-1, ::-1],
}
UNDONE_BY = {"turned left": "turned right", "turned right": "turned left"}  # the others undo themselves


@dataclass(frozen=True, eq=False)
class Look:
    """The features of one radiograph for the gate.

    Args:
        thumbnail: 32 x 32 float32, mean grey of each cell, black 0 and white 1.
        aspect: width / height.
        contrast: between the darkest and the brightest twentieth of the thumbnail, as a share of white.
        extremes: share of pixels that have the picture's least or greatest grey: 1 for a drawing in two tones.
        modality, view: tags of the DICOM file; `None` where it has none.
    """

    thumbnail: Thumbnails
    aspect: float
    contrast: float
    extremes: float
    modality: str | None = None
    view: str | None = None


def look(radiograph: Radiograph) -> Look:
    """Compute the features of one radiograph of any size and depth."""
    height, width = radiograph.pixels.shape
    step = max(1, min(height, width) // _THINNED)
    pixels = radiograph.pixels[::step, ::step].copy()
    thumbnail = _shrunk(pixels.astype(np.float32) / np.float32(2**radiograph.bits - 1))
    low, high = np.quantile(thumbnail, (0.05, 0.95))
    return Look(
        thumbnail=thumbnail,
        aspect=width / height,
        contrast=float(high - low),
        extremes=share_of_extremes(pixels),
        modality=radiograph.source.modality,
        view=radiograph.source.view,
    )


def layout(thumbnails: Thumbnails) -> Features:
    """Describe the layout, N x 80: `greys`, then the logarithm of the fine structure in 4 x 4 parts of the picture.

    Neither depends on brightness or contrast.
    """
    spread = np.ptp(np.quantile(thumbnails, (0.05, 0.95), axis=(1, 2)), axis=0) + _FLAT
    steps = np.zeros_like(thumbnails)
    steps[:, :, :-1] = np.abs(np.diff(thumbnails, axis=2))
    steps[:, :-1] += np.abs(np.diff(thumbnails, axis=1))
    grain = _parts(steps, GRAIN) / spread[:, None]
    return np.hstack([greys(thumbnails), np.log(grain + 1e-3)]).astype(np.float64)


def greys(thumbnails: Thumbnails) -> Features:
    """Rank the 8 x 8 mean greys, N x 64, with mean 0 and variance near 1: the darkest is lowest. Ties share a rank.

    Ranks stay as they are under any change of brightness, contrast or gamma.
    """
    cells = _parts(thumbnails, CELLS)
    order = np.argsort(cells, axis=1, kind="stable")
    ordered = np.take_along_axis(cells, order, axis=1)
    place = np.broadcast_to(np.arange(cells.shape[1]), cells.shape)
    new = np.diff(ordered, axis=1) > 0
    ones = np.ones((len(cells), 1), dtype=bool)
    first = np.maximum.accumulate(np.where(np.hstack([ones, new]), place, 0), axis=1)
    last = np.where(np.hstack([new, ones]), place, cells.shape[1])
    last = np.minimum.accumulate(last[:, ::-1], axis=1)[:, ::-1]
    ranks = np.empty(cells.shape)
    np.put_along_axis(ranks, order, (first + last) / 2, axis=1)
    return (ranks / (cells.shape[1] - 1) - 0.5) * np.sqrt(12.0)


def _shrunk(pixels: NDArray[np.float32]) -> Thumbnails:
    """Compute the means of 32 x 32 blocks; a picture of fewer pixels repeats them."""
    rows, columns = (np.arange(SIDE) * side // SIDE for side in pixels.shape)
    sums = np.add.reduceat(np.add.reduceat(pixels, rows, axis=0), columns, axis=1)
    edges = zip((rows, columns), pixels.shape, strict=True)
    heights, widths = (np.maximum(np.diff(starts, append=side), 1) for starts, side in edges)
    return sums / np.multiply.outer(heights, widths).astype(np.float32)


def _parts(thumbnails: Thumbnails, count: int) -> NDArray[np.float32]:
    """Compute the means of count x count parts, N x count**2."""
    block = SIDE // count
    means: NDArray[np.float32] = thumbnails.reshape(-1, count, block, count, block).mean(axis=(2, 4))
    return means.reshape(len(thumbnails), -1)
