"""Make a grayscale softcopy presentation state: the original as the network saw it, with the outline of the region."""

from collections import defaultdict

import numpy as np
from highdicom import pr
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from covid_xray.inference.heatmap import DISCLAIMER
from covid_xray.pacs.results.grey_scale import set_grey_scale, without_grey_scale
from covid_xray.pacs.results.region import region_label
from covid_xray.pacs.results.result_context import ResultContext

_GRID = 256  # cells of the longer side for tracing: a graphic holds at most 8,191 points
_LAYER = "COVID_XRAY"
Points = NDArray[np.float64]
_Corner = tuple[int, int]


def presentation_state(result: ResultContext, mask: NDArray[np.bool_] | None) -> Dataset:
    """Make the presentation state of the finding and of the outlines of an H x W mask, if there is one."""
    reference, layer = result.reference, pr.GraphicLayer(_LAYER, 1, description="Finding and region")
    lines = [
        pr.GraphicObject(pr.GraphicTypeValues.POLYLINE, points, units=pr.AnnotationUnitsValues.PIXEL)
        for points in (trace_outlines(mask) if mask is not None else ())
    ]
    region = region_label(result) if mask is not None else "No region"
    text = "\n".join((result.statement, result.scope, result.site, region, result.model, DISCLAIMER))
    legend = pr.TextObject(text, units=pr.AnnotationUnitsValues.DISPLAY, bounding_box=(0.02, 0.86, 0.6, 0.99))
    annotation = pr.GraphicAnnotation([reference], layer, graphic_objects=lines or None, text_objects=[legend])
    made = pr.GrayscaleSoftcopyPresentationState(
        referenced_images=[without_grey_scale(reference)],
        content_label=_LAYER,
        content_description="Finding, and outline of where the heat map is strong",
        graphic_annotations=[annotation],
        graphic_layers=[layer],
        transfer_syntax_uid=ExplicitVRLittleEndian,
        content_creator_name="covid-xray^software",
        **result.common("gsps"),
    )
    set_grey_scale(made, result.original)
    made.BodyPartExamined = "CHEST"
    return made


def trace_outlines(mask: NDArray[np.bool_]) -> list[Points]:
    """Trace the closed outlines of an H x W mask, each N x 2 (column, row) from the top left corner of the image.

    The grid has at most 256 cells a side, so each point lies within one cell of the mask's edge.
    """
    height, width = mask.shape
    cells = min(1.0, _GRID / max(height, width))
    rows, columns = max(1, round(height * cells)), max(1, round(width * cells))
    small = np.asarray(Image.fromarray(mask).resize((columns, rows), Image.Resampling.NEAREST))
    unit = np.array([width / columns, height / rows])
    return [_drop_straight_points(loop) * unit for loop in _trace_loops(small)]


def _trace_loops(mask: NDArray[np.bool_]) -> list[list[_Corner]]:
    """Return the corners (column, row) around each part of a mask, clockwise."""
    next_corners: dict[_Corner, list[_Corner]] = defaultdict(list)
    padded = np.pad(mask, 1)
    for row, column in np.argwhere(mask):
        y, x = int(row), int(column)
        if not padded[y, x + 1]:
            next_corners[x, y].append((x + 1, y))
        if not padded[y + 1, x + 2]:
            next_corners[x + 1, y].append((x + 1, y + 1))
        if not padded[y + 2, x + 1]:
            next_corners[x + 1, y + 1].append((x, y + 1))
        if not padded[y + 1, x]:
            next_corners[x, y + 1].append((x, y))
    found = []
    while next_corners:
        first = next(iter(next_corners))
        loop = [first]
        while len(loop) == 1 or loop[-1] != first:
            steps = next_corners[loop[-1]]
            loop.append(steps.pop())
            if not steps:
                del next_corners[loop[-2]]
        found.append(loop)
    return found


def _drop_straight_points(loop: list[_Corner]) -> Points:
    """Drop the corners at which the loop does not turn."""
    points = np.array(loop, dtype=float)
    steps = np.diff(points, axis=0)
    turns = np.any(steps[1:] != steps[:-1], axis=1)
    return points[np.concatenate([[True], turns, [True]])]
