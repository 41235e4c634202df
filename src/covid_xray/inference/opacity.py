"""Estimate roughly what share of the lungs is opaque. An indicator, no measurement.

Grey values mean nothing by themselves, so the picture brings its own scale: its darkest lung is 0, the tissue between
its lungs (heart, great vessels, spine) is 1. A point of the lungs is called opaque from two thirds on. A linear change
of the window does not change the result; gamma changes it a little. Measured in docs/results/opacity.md.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

RIM = 0.03  # share of the picture's side: so far from the edge of the mask the chest wall and heart brighten a lung
DARK = 0.02  # quantile of the lungs that stands for air; the lowest few points may be a mark or the edge of a film
OPAQUE = 2 / 3  # of the way from air to the tissue between the lungs
FEWEST = 50, 20  # points inside the lungs, and between them; with fewer there is no scale
STEPS = 0.05  # the share is stated in these steps: finer would look like a measurement


def opaque_share(pixels: NDArray[np.uint8], mask: NDArray[np.bool_]) -> float | None:
    """Estimate the share of the lungs, without their rim, that is nearly as bright as the tissue between them: 0..1.

    Args:
        pixels: H x W, 0..255, bright where the beam was weakened.
        mask: h x w, where the lungs are, over the same picture; both lungs.

    Returns:
        `None` without a scale: too little of lungs or between them, or nothing between them brighter than they are.
    """
    height, width = mask.shape
    grey = np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BOX), dtype=np.float32)
    inside = grey[_shrunk(mask, round(RIM * max(height, width)))]
    middle = grey[_between(mask)]
    if inside.size < FEWEST[0] or middle.size < FEWEST[1]:
        return None
    air, tissue = (float(np.quantile(part, q)) for part, q in ((inside, DARK), (middle, 0.5)))
    if tissue - air < 1:
        return None
    return float(np.mean(inside > air + OPAQUE * (tissue - air)))


def opacity_in_words(share: float | None) -> str:
    """Write the share as a line in steps of 5 %, with a warning; empty for `None`."""
    if share is None:
        return ""
    steps = round(share / STEPS)
    much = f"about {steps * STEPS:.0%}" if steps else f"under {STEPS:.0%}"
    return f"{much} of the lungs look opaque: a rough indicator by brightness, no measurement"


def _shrunk(mask: NDArray[np.bool_], times: int) -> NDArray[np.bool_]:
    """Remove `times` layers of the mask's edge (4 neighbours); the border of the picture is an edge too."""
    mask = mask.copy()
    for _ in range(times):
        before = mask.copy()
        mask[1:] &= before[:-1]
        mask[:-1] &= before[1:]
        mask[:, 1:] &= before[:, :-1]
        mask[:, :-1] &= before[:, 1:]
        mask[[0, -1]] = mask[:, [0, -1]] = False
    return mask


def _between(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Select, in each row that both lungs reach, the points between them, one point away from either."""
    columns = np.arange(mask.shape[1])
    reached = np.flatnonzero(mask.any(axis=0))
    if reached.size == 0:
        return np.zeros_like(mask)
    middle = (reached[0] + reached[-1] + 1) // 2
    first, second = mask & (columns < middle), mask & (columns >= middle)
    left = np.where(first, columns, -1).max(axis=1)
    right = np.where(second, columns, mask.shape[1]).min(axis=1)
    both = first.any(axis=1) & second.any(axis=1)
    return both[:, None] & (columns > left[:, None] + 1) & (columns < right[:, None] - 1)
