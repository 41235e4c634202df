"""Hide a part of the network's input, so that what remains visible is all that a score can rest on.

Hidden pixels become black, which shows the outline and is unusual to the network, or the mean picture of the study.
Inpainting from the surroundings would carry information into the lungs. The outline of a fixed box carries none.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from covid_xray.data.baselines.baselines import FRAME
from covid_xray.data.doctor.pixel_facts import SIDE

Pixels = NDArray[np.uint8]
Masks = NDArray[np.bool_]

MARGIN = 0.03  # share of the side around the lungs that is hidden with them: their edge is not sharp
BORDER = FRAME / SIDE  # the frame of the no-lung baselines, so that both can be compared
CORNER = 0.2  # share of the side: letters and side markers lie within it
HELD = 0.998  # share of the lungs, row by row and column by column, that the fixed box holds


@dataclass(frozen=True, eq=False)
class Input:
    """The images that an intervention changes."""

    pixels: Pixels  # N x h x w uint8
    lungs: Masks  # N x h x w
    box: tuple[int, int, int, int]  # top, bottom, left, right of the fixed box, in pixels
    mean: Pixels  # h x w uint8, the mean of all pictures of the study

    def take(self, rows: slice | NDArray[np.int64]) -> "Input":
        """Select images, with the same box and mean picture."""
        return replace(self, pixels=self.pixels[rows], lungs=self.lungs[rows])

    @cached_property
    def around(self) -> Masks:
        """The lungs with the margin that is hidden with them."""
        return dilate(self.lungs, share=MARGIN)

    @cached_property
    def inside_box(self) -> Masks:
        """The fixed box, 1 x h x w."""
        top, bottom, left, right = self.box
        inside = np.zeros((1, *self.pixels.shape[1:]), dtype=bool)
        inside[:, top:bottom, left:right] = True
        return inside


@dataclass(frozen=True)
class Intervention:
    """One way to hide a part."""

    name: str  # in audit.json
    shows: str  # what is left to see, in words
    # `seen` (with the rest), `only`, `hidden`, `outline` (hidden, but their shape shows), or `edge` (mostly hidden)
    lungs: str
    change: Callable[[Input], Pixels]  # the input with the part hidden: N x h x w uint8


INTERVENTIONS = (
    Intervention("whole", "the whole picture", "seen", lambda x: x.pixels),
    Intervention("corners_black", "all but the four corners, where letters are", "seen",
                 lambda x: blacken(x.pixels, corners(x))),
    Intervention("lungs_only", "only the lungs, black around them", "only", lambda x: blacken(x.pixels, ~x.lungs)),
    Intervention("lungs_only_mean", "only the lungs, the mean picture around them", "only",
                 lambda x: replace_by_mean(x, ~x.lungs)),
    Intervention("lungs_black", "all but the lungs, which are black: their outline shows", "outline",
                 lambda x: blacken(x.pixels, x.around)),
    Intervention("lungs_mean", "all but the lungs, where the mean picture is", "hidden",
                 lambda x: replace_by_mean(x, x.around)),
    Intervention("box_black", "what lies outside one fixed box over the lungs", "hidden",
                 lambda x: blacken(x.pixels, x.inside_box)),
    Intervention("box_mean", "what lies outside the fixed box, where the mean picture is", "hidden",
                 lambda x: replace_by_mean(x, x.inside_box)),
    Intervention("frame_only", f"only the outer {BORDER:.0%} on each side, which may hold an edge of the lungs", "edge",
                 lambda x: blacken(x.pixels, ~frame(x))),
)  # fmt: skip
WHOLE = INTERVENTIONS[0]


def prepare_input(pixels: Pixels, lungs: Masks) -> Input:
    """Return all images of a study with their common box and mean picture."""
    mean = np.rint(pixels.mean(axis=0, dtype=np.float64)).astype(np.uint8)
    return Input(pixels, lungs, fixed_box(lungs), mean)


def fixed_box(lungs: Masks) -> tuple[int, int, int, int]:
    """Return the box (top, bottom, left, right) that holds 99.8 % of the lungs of all images by rows and by columns."""
    ends = []
    for axis in (2, 1):
        total = np.cumsum(lungs.sum(axis=(0, axis), dtype=np.float64))
        low, high = np.searchsorted(total / total[-1], [(1 - HELD) / 2, (1 + HELD) / 2])
        ends += [int(low), int(high) + 1]
    return ends[0], ends[1], ends[2], ends[3]


def dilate(masks: Masks, *, share: float) -> Masks:
    """Dilate each mask by `share` of the longer side."""
    reach = max(1, round(share * max(masks.shape[1:])))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    return np.stack([cv2.dilate(mask.astype(np.uint8), kernel) > 0 for mask in masks])


def blacken(pixels: Pixels, masks: Masks) -> Pixels:
    """Set pixels to black where the masks are true."""
    return np.where(masks, np.uint8(0), pixels)


def replace_by_mean(x: Input, masks: Masks) -> Pixels:
    """Set pixels to the mean picture where the masks are true."""
    return np.where(masks, x.mean, x.pixels)


def corners(x: Input) -> Masks:
    """Return the mask of the four corners, 1 x h x w."""
    rows, columns = (_ends(side, CORNER) for side in x.pixels.shape[1:])
    return (rows[:, None] & columns)[None]


def frame(x: Input) -> Masks:
    """Return the mask of the outer border, 1 x h x w."""
    rows, columns = (_ends(side, BORDER) for side in x.pixels.shape[1:])
    return (rows[:, None] | columns)[None]


def _ends(side: int, share: float) -> NDArray[np.bool_]:
    """Return the mask of the first and the last `share` of a side."""
    width = max(1, round(share * side))
    position = np.arange(side)
    return np.asarray((position < width) | (position >= side - width))
