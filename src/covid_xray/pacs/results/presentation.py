"""A region in, a grayscale softcopy presentation state out: the region's outline over the untouched original.

The viewer draws it over the original at full depth, and the reader can switch it off.
"""

from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from covid_xray.inference.heatmap import DISCLAIMER
from covid_xray.pacs.results.region import label
from covid_xray.pacs.results.result_context import Result

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_CELLS = 256  # of the longer side, on which outlines are traced: a graphic holds at most 8,191 points
_LAYER = "COVID_XRAY"
Points = NDArray[np.float64]
_Corner = tuple[int, int]


def outline(result: Result, mask: NDArray[np.bool_]) -> "Dataset":
    """The presentation state of the outlines of an H x W mask."""
    from highdicom import PresentationLUTShapeValues, PresentationLUTTransformation
    from highdicom.pr import (
        AnnotationUnitsValues,
        GraphicAnnotation,
        GraphicLayer,
        GraphicObject,
        GraphicTypeValues,
        GrayscaleSoftcopyPresentationState,
        TextObject,
    )
    from pydicom.uid import ExplicitVRLittleEndian

    reference, layer = result.reference(), GraphicLayer(_LAYER, 1, description="Where the heat map is strong")
    lines = [
        GraphicObject(GraphicTypeValues.POLYLINE, points, units=AnnotationUnitsValues.PIXEL)
        for points in outlines(mask)
    ]
    probability = result.finding.probabilities[result.shown]
    words = TextObject(
        f"{result.shown}: {probability:.1%}\n{label(result)}\n{result.model}\n{DISCLAIMER}",
        units=AnnotationUnitsValues.DISPLAY,
        bounding_box=(0.02, 0.86, 0.6, 0.99),
    )
    annotation = GraphicAnnotation([reference], layer, graphic_objects=lines, text_objects=[words])
    inverted = result.original.radiograph.source.photometric == "MONOCHROME1"
    shape = PresentationLUTShapeValues.INVERSE if inverted else PresentationLUTShapeValues.IDENTITY
    made = GrayscaleSoftcopyPresentationState(
        referenced_images=[reference],
        content_label=_LAYER,
        content_description="Outline of where the heat map is strong",
        graphic_annotations=[annotation],
        graphic_layers=[layer],
        presentation_lut_transformation=PresentationLUTTransformation(presentation_lut_shape=shape),
        transfer_syntax_uid=ExplicitVRLittleEndian,
        content_creator_name="covid-xray^software",
        **result.common("gsps"),
    )
    made.BodyPartExamined = "CHEST"
    return made


def outlines(mask: NDArray[np.bool_]) -> list[Points]:
    """Closed outlines of an H x W mask, each N x 2 (column, row), where 0, 0 is the top left corner of the picture.

    Traced on a grid of at most 256 cells a side, so each point lies within one cell of the mask's edge.
    """
    height, width = mask.shape
    cells = min(1.0, _CELLS / max(height, width))
    rows, columns = max(1, round(height * cells)), max(1, round(width * cells))
    small = np.asarray(Image.fromarray(mask).resize((columns, rows), Image.Resampling.NEAREST))
    unit = np.array([width / columns, height / rows])
    return [_straightened(loop) * unit for loop in _loops(small)]


def _loops(mask: NDArray[np.bool_]) -> list[list[_Corner]]:
    """Corners (column, row) around the parts of a mask; the part lies at the right hand of the way."""
    following: dict[_Corner, list[_Corner]] = defaultdict(list)
    padded = np.pad(mask, 1)
    for row, column in np.argwhere(mask):
        y, x = int(row), int(column)
        if not padded[y, x + 1]:
            following[x, y].append((x + 1, y))
        if not padded[y + 1, x + 2]:
            following[x + 1, y].append((x + 1, y + 1))
        if not padded[y + 2, x + 1]:
            following[x + 1, y + 1].append((x, y + 1))
        if not padded[y + 1, x]:
            following[x, y + 1].append((x, y))
    found = []
    while following:
        first = next(iter(following))
        loop = [first]
        while len(loop) == 1 or loop[-1] != first:
            ways = following[loop[-1]]
            loop.append(ways.pop())
            if not ways:
                del following[loop[-2]]
        found.append(loop)
    return found


def _straightened(loop: list[_Corner]) -> Points:
    """The loop without the corners at which it goes straight on."""
    points = np.array(loop, dtype=float)
    ways = np.diff(points, axis=0)
    turns = np.any(ways[1:] != ways[:-1], axis=1)
    return points[np.concatenate([[True], turns, [True]])]
