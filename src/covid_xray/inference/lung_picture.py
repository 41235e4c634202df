"""Cut both lungs out of a radiograph and equalise them, for a network of `crop: lungs-only`.

Two convex hulls rather than the lung mask itself: a lung that is white from disease is missing from many a mask, and
the outline of the missing part would reveal the label. Outside the hulls the picture is black; inside, its histogram is
equalised, so that window, gamma and detector no longer identify a hospital. numpy and Pillow only.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from covid_xray.inference.lungs import AREA, Box, Lungs, dilated, pair_of

GRID = 224  # rows and columns of the picture that the lungs are cut from; finer detail differs between archives
BLACK = 4  # grey values up to this one are outside the lungs
GROW = 2  # pixels of the grid to each side by which the hulls are dilated
OUTLINED = (0.35, 0.95)  # share of black in a picture that was black outside the lungs when it came
RIM = 2  # pixels to each side by which the bright part is eroded before its holes are closed
REACH = 8  # pixels to either side of the box filters that close them

Pixels = NDArray[np.uint8]
Mask = NDArray[np.bool_]


def hulls_of(lungs: Lungs) -> Mask:
    """Draw the filled convex hull of each lung, slightly dilated: GRID x GRID bool.

    The corners are those of the mask's cells, so a coarse mask gives the same outline as a fine one.
    """
    picture = Image.new("L", (GRID, GRID), 0)
    pen = ImageDraw.Draw(picture)
    scale = GRID / np.array(lungs.mask.shape[::-1], dtype=np.float64)
    for side in lungs.sides:
        if side.any():
            pen.polygon([tuple(corner) for corner in (convex_hull(side) * scale).tolist()], fill=255)
    return dilated(np.asarray(picture) > 0, GROW)


def convex_hull(mask: Mask) -> NDArray[np.float64]:
    """Find the corners (x, y) of the convex hull of the cells of an h x w mask that is not empty.

    The monotone chain of Andrew (1979) over the ends of the rows; cell (row, column) covers column to column + 1.
    """
    rows = np.flatnonzero(mask.any(axis=1))
    left = mask[rows].argmax(axis=1)
    right = mask.shape[1] - mask[rows, ::-1].argmax(axis=1)
    mirrored = [(-x, y) for x, y in _chain(-right, rows)]
    return np.array(_chain(left, rows) + mirrored[::-1], dtype=np.float64)


def _chain(xs: NDArray[np.int64], rows: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Find the left side of the hull from top to bottom, of cells whose left edge is `xs` in each of the rows."""
    edges = dict(zip(rows.tolist(), xs.tolist(), strict=True))  # of the upper corners, then also of the lower ones
    for row, x in zip(rows.tolist(), xs.tolist(), strict=True):
        edges[row + 1] = min(x, edges.get(row + 1, x))
    kept: list[tuple[int, int]] = []
    for y, x in sorted(edges.items()):
        while len(kept) >= 2:
            (ax, ay), (bx, by) = kept[-2:]
            if (bx - ax) * (y - by) < (by - ay) * (x - bx):  # a turn to the right on the screen, seen from above
                break
            kept.pop()
        kept.append((x, y))
    return kept


def cut(picture: Pixels, hulls: Mask, *, height: int, width: int) -> Pixels:
    """Cut the lungs out of a GRID x GRID picture, height x width: black outside, brighter than `BLACK` inside."""
    rows, columns = box_of(hulls)
    inside = np.maximum(picture[rows, columns], np.uint8(BLACK + 1)) * hulls[rows, columns]
    return np.asarray(Image.fromarray(inside).resize((width, height), Image.Resampling.BILINEAR))


def box_of(hulls: Mask) -> tuple[slice, slice]:
    """Find rows and columns of the smallest box that holds the hulls."""
    rows, columns = np.flatnonzero(hulls.any(axis=1)), np.flatnonzero(hulls.any(axis=0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def region_of(hulls: Mask) -> Box:
    """Return the same box as top, left, bottom, right in shares of the picture."""
    rows, columns = box_of(hulls)
    return rows.start / GRID, columns.start / GRID, rows.stop / GRID, columns.stop / GRID


def equalise(picture: Pixels) -> Pixels:
    """Equalise the histogram of all pixels brighter than `BLACK`; the others become 0. Any shape, uint8."""
    counts = np.bincount(picture.ravel(), minlength=256)
    counts[: BLACK + 1] = 0
    steps = counts.cumsum()
    table = (steps / max(int(steps[-1]), 1) * 255).astype(np.uint8)
    return table[picture]


def outlined(picture: Pixels) -> Mask | None:
    """Find the lungs of a picture that is already black outside of them, GRID x GRID; `None` for any other picture.

    Some collections publish lungs only. Their outlines have holes where a lung is white, so they are used as a mask
    like any other: opened by 5 x 5 pixels, and then only their hulls count.
    """
    dark = picture <= BLACK
    edge = np.concatenate([dark[0], dark[-1], dark[:, 0], dark[:, -1]])
    if not (edge.mean() > 0.9 and OUTLINED[0] <= dark.mean() <= OUTLINED[1]):
        return None
    sides = pair_of(dilated(~dilated(dark, 2), 2))
    mask = np.logical_or.reduce(sides)
    return mask if len(sides) == 2 and AREA[0] <= mask.mean() <= AREA[1] else None


def filled(picture: Pixels, hulls: Mask) -> Pixels:
    """Close the black holes inside the hulls of a picture of lungs only by the smoothed grey around them.

    The rim of the bright part is replaced as well: compression has darkened it, and a dark rim would mark every hole.
    """
    sure = hulls & ~dilated(picture <= BLACK, RIM)
    if sure.all() or not sure.any():
        return picture
    weight = _smooth(sure.astype(np.float64))
    grey = _smooth(np.where(sure, picture, 0).astype(np.float64)) / np.maximum(weight, 1e-6)
    grey = np.where(weight > 1e-3, grey, np.median(picture[sure]))
    return np.where(sure, picture, np.clip(grey, 0, 255)).astype(np.uint8)


def _smooth(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Apply three box filters of REACH pixels to either side, along rows and columns: nearly a Gaussian."""
    for _ in range(3):
        for axis in (0, 1):
            ends = [(REACH + 1, REACH) if side == axis else (0, 0) for side in (0, 1)]
            sums = np.moveaxis(np.pad(values, ends).cumsum(axis=axis), axis, 0)
            values = np.moveaxis(sums[2 * REACH + 1 :] - sums[: -2 * REACH - 1], 0, axis)
    return values
