"""A radiograph in, where its lungs are out: the bundle's second network, a small U-Net, on ONNX Runtime.

The mask decides the crop that the classifier sees, and what share of a heat map lies inside the lungs. A mask that
cannot be a pair of lungs is said to be implausible, and then the whole picture is used.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from covid_xray.bundle.lung_network import LUNGS_FILE, MARGIN
from covid_xray.errors import BadBundle
from covid_xray.images.pixels import to_input
from covid_xray.images.radiograph import Radiograph
from covid_xray.inference.opacity import opaque_share

TAIL = 0.005  # share of the lungs' area that may lie outside their box on each side: stray pixels

# What a pair of lungs can be on a frontal chest radiograph, in shares of the picture; wide, so that children, cropped
# and squeezed pictures pass.
AREA = (0.06, 0.75)
ASPECT = (0.5, 2.2)  # height / width of the box
SIDE = 0.12  # share of the lungs' area that each half of the box holds at least
CERTAIN = 0.6  # mean distance of the probability inside the picture from one half, in units of one half, at least

Box = tuple[float, float, float, float]
WHOLE: Box = (0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True, eq=False)
class Lungs:
    """The lungs of one radiograph.

    Args:
        probability: h x w float32, 0..1, over the whole picture.
        mask: h x w bool, the two largest connected parts above one half.
        box: top, left, bottom, right of the crop in shares of the picture, margin included.
        plausible: whether the mask can be a pair of lungs; if not, `box` is the whole picture.
        opaque: roughly the share of them that is opaque, of `opacity.opaque_share`; `None` where it cannot be told.
    """

    probability: NDArray[np.float32]
    mask: NDArray[np.bool_]
    box: Box
    plausible: bool
    opaque: float | None = None

    @property
    def area(self) -> float:
        """Share of the picture that the lungs cover."""
        return float(self.mask.mean())

    def at_size(self, height: int, width: int) -> NDArray[np.bool_]:
        """The mask at height x width: the probability enlarged bilinearly inside the kept parts, then halved."""
        kept = np.where(_grown(self.mask), self.probability, 0.0).astype(np.float32)
        return np.asarray(Image.fromarray(kept).resize((width, height), Image.Resampling.BILINEAR)) > 0.5

    def share(self, height: int, width: int) -> NDArray[np.float32]:
        """height x width, 0..1: how much of each cell of a coarser or finer grid over the picture is lung."""
        whole = Image.fromarray(self.mask.astype(np.float32))
        return np.asarray(whole.resize((width, height), Image.Resampling.BOX))


class LungFinder:
    """Finds lungs with one ONNX file. Thread-safe.

    Args:
        model: the bytes of `lungs.onnx`: `image` N x size x size x 1 in 0..255 -> `lungs` N x h x w x 1 in 0..1.
        size: of its input.
        margin: of the crop, in shares of the lungs' height and width.
        threads: of one run; the predictor already runs one radiograph a thread.

    Raises:
        BadBundle: ONNX Runtime refuses the file.
    """

    def __init__(self, model: bytes, *, size: int, margin: float = MARGIN, threads: int = 1) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 4
        try:
            self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception:
            raise BadBundle(
                f"expected {LUNGS_FILE} to be a network. Received: a file that ONNX Runtime refuses", code="format"
            ) from None
        received = {tensor.name: list(tensor.shape[1:]) for tensor in self._session.get_inputs()}
        outputs = [tensor.name for tensor in self._session.get_outputs()]
        if received != {"image": [size, size, 1]} or outputs != ["lungs"]:
            raise BadBundle(
                f"expected {LUNGS_FILE} from image of {size} x {size} x 1 to lungs. Received: {received} to {outputs}",
                code="format",
            )
        self.size, self.margin = size, margin

    def find(self, radiograph: Radiograph) -> Lungs:
        """The lungs of `radiograph`, plausible or not."""
        pixels = to_input(radiograph, height=self.size, width=self.size)
        (found,) = self._session.run(["lungs"], {"image": pixels[None, :, :, None].astype(np.float32)})
        lungs = lungs_of(found[0, :, :, 0], margin=self.margin)
        return dataclasses.replace(lungs, opaque=opaque_share(pixels, lungs.mask) if lungs.plausible else None)


def lungs_of(probability: NDArray[np.float32], *, margin: float = MARGIN) -> Lungs:
    """Mask, crop box and verdict from the network's h x w output."""
    mask = two_largest(probability > 0.5)
    plausible = mask.any() and _plausible(mask, probability)
    box = _with_margin(_box(mask), margin) if plausible else WHOLE
    return Lungs(probability=probability, mask=mask, box=box, plausible=bool(plausible))


def cropped(radiograph: Radiograph, box: Box) -> Radiograph:
    """The part of `radiograph` inside `box` (top, left, bottom, right in shares of the picture)."""
    rows, columns = box_pixels(box, *radiograph.pixels.shape)
    pixels: Any = np.ascontiguousarray(radiograph.pixels[rows, columns])
    return dataclasses.replace(radiograph, pixels=pixels)


def box_pixels(box: Box, height: int, width: int) -> tuple[slice, slice]:
    """Rows and columns of `box` in a picture of height x width; at least one of each."""
    top, left, bottom, right = box
    first_row, first_column = min(height - 1, int(top * height)), min(width - 1, int(left * width))
    last_row = max(first_row + 1, min(height, round(bottom * height)))
    last_column = max(first_column + 1, min(width, round(right * width)))
    return slice(first_row, last_row), slice(first_column, last_column)


def two_largest(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The two largest connected parts (4 neighbours) of an h x w mask; a second one under a tenth of the first goes."""
    labels = _labels(mask)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    order = np.argsort(sizes)[::-1][:2]
    kept = [int(label) for label in order if sizes[label] > 0.1 * sizes[order[0]]]
    return np.isin(labels, kept) & mask


def _labels(mask: NDArray[np.bool_]) -> NDArray[np.int32]:
    """A number above 0 for each connected part: the largest index in it spreads until nothing changes."""
    padded = np.zeros((mask.shape[0] + 2, mask.shape[1] + 2), np.int32)
    labels = padded[1:-1, 1:-1]
    labels[mask] = np.flatnonzero(mask) + 1
    named = np.zeros(mask.size + 1, np.int32)
    while True:
        spread = np.maximum(padded[:-2, 1:-1], padded[2:, 1:-1])
        for beside in (padded[1:-1, :-2], padded[1:-1, 2:], labels):
            np.maximum(spread, beside, out=spread)
        # Each label then points at the label of the pixel it names: paths halve, long parts need few rounds.
        named[1:] = spread.ravel()
        spread = named[spread] * mask
        if np.array_equal(spread, labels):
            return spread
        labels[...] = spread


def _grown(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    padded = np.pad(mask, 1)
    return np.any([padded[1 + i : padded.shape[0] - 1 + i, 1 + j : padded.shape[1] - 1 + j]
                   for i in (-1, 0, 1) for j in (-1, 0, 1)], axis=0)  # fmt: skip


def _box(mask: NDArray[np.bool_]) -> Box:
    top, bottom = _ends(mask.sum(axis=1))
    left, right = _ends(mask.sum(axis=0))
    return top, left, bottom, right


def _ends(counts: NDArray[np.int64]) -> tuple[float, float]:
    share = np.cumsum(counts) / counts.sum()
    first = int(np.searchsorted(share, TAIL, side="right"))
    last = int(np.searchsorted(share, 1 - TAIL, side="left"))
    return first / len(counts), (last + 1) / len(counts)


def _with_margin(box: Box, margin: float) -> Box:
    top, left, bottom, right = box
    down, across = margin * (bottom - top), margin * (right - left)
    return max(0.0, top - down), max(0.0, left - across), min(1.0, bottom + down), min(1.0, right + across)


def _plausible(mask: NDArray[np.bool_], probability: NDArray[np.float32]) -> bool:
    top, left, bottom, right = _box(mask)
    columns = mask.sum(axis=0)
    middle = round((left + right) / 2 * mask.shape[1])
    first_half = float(columns[:middle].sum() / columns.sum())
    certain = float(np.abs(2 * probability[mask] - 1).mean())
    return (
        AREA[0] <= mask.mean() <= AREA[1]
        and ASPECT[0] <= (bottom - top) / (right - left) <= ASPECT[1]
        and SIDE <= first_half <= 1 - SIDE
        and certain >= CERTAIN
    )
