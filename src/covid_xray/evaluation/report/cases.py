"""Select a dozen right and wrong answers by a fixed rule and render them with their heat maps."""

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from covid_xray.config import Limits
from covid_xray.data.manifest.manifest import Manifest
from covid_xray.errors import BadImage
from covid_xray.evaluation.predictions import ImagePredictor, Predictions
from covid_xray.evaluation.report.figures import DARK, drawing, png, short
from covid_xray.inference.finding import Finding
from covid_xray.inference.heatmap import normalise, overlay
from covid_xray.inference.heatmap_files import display
from covid_xray.inference.io.inputs import open_source

SHOWN, SIDE = 12, 320
RULE = (
    "Wrong answers: the most confident ones, taking the true classes in turn. Right answers: of each class those at "
    "evenly spaced ranks of confidence, from sure to doubtful. None was picked by hand."
)


@dataclass(frozen=True, eq=False)
class Case:
    """One image of the grid."""

    image: str  # its name in the manifest
    label: str  # true and predicted class
    predicted: str
    probability: float  # of the predicted class, 0..1
    # H x W x 3 uint8: the radiograph, and beside it the same with the heat map of the predicted class
    picture: NDArray[np.uint8]
    evidence: bool  # False when the map is empty, so that nothing is drawn over the right half

    @property
    def right(self) -> bool:
        """Whether the answer is right."""
        return self.label == self.predicted

    def jpeg(self) -> bytes:
        """Return the picture as JPEG bytes."""
        stream = io.BytesIO()
        Image.fromarray(self.picture).save(stream, format="JPEG", quality=88)
        return stream.getvalue()


def select_cases(predictions: Predictions, *, count: int = SHOWN) -> list[int]:
    """Return the rows of the table to show: up to half of them wrong answers, then right ones, by `RULE`."""
    confidence = predictions.probabilities.max(axis=1)
    right = predictions.labels == predictions.predicted
    # Ties are broken by name, so that the order of the table does not matter.
    order = np.lexsort((predictions.table["image"].to_numpy(dtype=str), -confidence))
    by_class = [order[predictions.labels[order] == code] for code in range(len(predictions.classes))]
    wrong = list(_in_turn([list(rows[~right[rows]]) for rows in by_class]))[: count // 2]
    room = count - len(wrong)
    share = -(-room // len(by_class))
    good = list(_in_turn([_spread(rows[right[rows]], share) for rows in by_class]))[:room]
    return [int(row) for row in (*wrong, *good)]


def render_cases(
    predictor: ImagePredictor, predictions: Predictions, manifest: Manifest, *, limits: Limits
) -> list[Case]:
    """Render the selected cases; an image that can no longer be read is left out."""
    names = predictions.table["image"]
    rows = {str(manifest.path(names.iloc[row])): row for row in select_cases(predictions)}
    cases = {}
    for finding in predictor.predict_many([Path(path) for path in rows], class_maps=True):
        if isinstance(finding, Finding) and finding.class_maps is not None and finding.image in rows:
            try:
                cases[rows[finding.image]] = _case(finding, predictions, rows[finding.image], limits)
            except BadImage:
                continue
    return [cases[row] for row in rows.values() if row in cases]


def render_sheet(cases: Sequence[Case]) -> bytes:
    """Render all cases with captions on one dark sheet, as PNG bytes."""
    columns = 3
    lines = -(-len(cases) // columns)
    with drawing(DARK):
        figure = Figure(figsize=(11, 2.35 * lines))
        for axes in figure.subplots(lines, columns, squeeze=False).ravel():
            axes.set_axis_off()
        for axes, case in zip(figure.axes, cases, strict=False):
            axes.imshow(case.picture)
            word = "right" if case.right else "WRONG"
            axes.set_title(
                f"{word}: {short(case.label)}, said {short(case.predicted)} {case.probability:.1%}",
                fontsize=9,
                color=DARK.series[0] if case.right else DARK.series[1],
            )
        return png(figure)


def _case(finding: Finding, predictions: Predictions, row: int, limits: Limits) -> Case:
    facts = predictions.table.iloc[row]
    code = int(predictions.predicted[row])
    assert finding.class_maps is not None
    class_map = finding.class_maps[code]
    grey = display(open_source(finding.image, limits=limits), longest=SIDE)
    gap = np.zeros((grey.shape[0], 4, 3), dtype=np.uint8)
    picture = np.concatenate([np.repeat(grey[..., None], 3, axis=2), gap, overlay(grey, class_map)], axis=1)
    return Case(
        image=facts["image"],
        label=facts["label"],
        predicted=facts["predicted"],
        probability=float(predictions.probabilities[row, code]),
        picture=picture,
        evidence=normalise(class_map, height=4, width=4) is not None,
    )


def _spread(rows: NDArray[np.int64], count: int) -> list[int]:
    ranks = np.linspace(0, len(rows) - 1, min(count, len(rows))).round().astype(int)
    return [int(row) for row in rows[ranks]]


def _in_turn(lists: Sequence[list[int]]) -> Iterable[int]:
    """Yield the first item of each list, then the second of each, and so on."""
    for rank in range(max((len(rows) for rows in lists), default=0)):
        yield from (rows[rank] for rows in lists if rank < len(rows))
