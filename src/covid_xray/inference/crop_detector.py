"""Compute the features that distinguish a part of a chest X-ray from a whole one.

The lower half or the middle of a radiograph still looks like a chest, but its lungs run into the edge of the picture,
or one is missing. Without a lung network only the layout is used.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from covid_xray.inference.gate_features import layout
from covid_xray.inference.lungs import Lungs

CELLS = 8  # of the map: 8 x 8 shares of lung
EXTENT = CELLS * CELLS + 5
_WEIGHT = 2.0  # shares lie in 0..1, the ranks of the layout have a variance of 1

Features = NDArray[np.float64]


def extent(lungs: Lungs) -> Features:
    """Describe where the lungs are and where they are cut: 69 values, each 0..1.

    The probability of lung in 8 x 8 cells; then the share of the first and the last row, of the first and the last
    column, and of the whole picture that is lung.
    """
    probability = lungs.probability.astype(np.float32)
    cells = np.asarray(Image.fromarray(probability).resize((CELLS, CELLS), Image.Resampling.BOX))
    lung = probability > 0.5
    edges = [lung[0].mean(), lung[-1].mean(), lung[:, 0].mean(), lung[:, -1].mean(), lung.mean()]
    return np.concatenate([cells.ravel(), edges]).astype(np.float64)


def features(thumbnails: NDArray[np.float32], extents: Features | None) -> Features:
    """Compute N x 80 features of N thumbnails (32 x 32), or N x 149 with N x 69 values of `extent`."""
    return with_extent(layout(thumbnails), extents)


def with_extent(layouts: Features, extents: Features | None) -> Features:
    """Append N x 69 values of `extent`, weighted, to N x 80 layouts."""
    return layouts if extents is None else np.hstack([layouts, _WEIGHT * extents])
