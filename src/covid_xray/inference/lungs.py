"""Find the lungs of a radiograph with the bundle's second network, a small U-Net on ONNX Runtime.

The mask decides which part the classifier sees, and which share of a heat map lies inside the lungs. A mask that cannot
be a pair of lungs (one broad part, or one lung only) is marked as implausible.
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

# Limits of a pair of lungs on a frontal chest radiograph, in shares of the picture; wide, so that children, cropped and
# squeezed pictures pass.
AREA = (0.06, 0.75)
ASPECT = (0.5, 2.2)  # height / width of the box
SIDE = 0.12  # share of the lungs' area that each lung has at least
VALLEY = 0.6  # lungs that touch: the lowest column between them, as a share of the highest of either lung, at most
MIDDLE = (0.3, 0.7)  # part of the box in which the two lungs meet
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
        opaque: roughly the share of them that is opaque, of `opacity.opaque_share`; `None` where it is not known.
        sides: h x w bool each, the two lungs, left of the picture first; one where they cannot be separated.
    """

    probability: NDArray[np.float32]
    mask: NDArray[np.bool_]
    box: Box
    plausible: bool
    opaque: float | None = None
    sides: tuple[NDArray[np.bool_], ...] = ()

    @property
    def area(self) -> float:
        """Return the share of the picture that the lungs cover."""
        return float(self.mask.mean())

    def at_size(self, height: int, width: int) -> NDArray[np.bool_]:
        """Resize the mask to height x width: the probability, bilinearly, inside the kept parts, above one half."""
        kept = np.where(dilated(self.mask, 1), self.probability, 0.0).astype(np.float32)
        return np.asarray(Image.fromarray(kept).resize((width, height), Image.Resampling.BILINEAR)) > 0.5

    def share(self, height: int, width: int) -> NDArray[np.float32]:
        """Compute the share of lung in each cell of a height x width grid over the picture, 0..1."""
        whole = Image.fromarray(self.mask.astype(np.float32))
        return np.asarray(whole.resize((width, height), Image.Resampling.BOX))


class LungFinder:
    """Find lungs with one ONNX file. Thread-safe.

    Args:
        model: the bytes of `lungs.onnx`: `image` N x size x size x 1 in 0..255 -> `lungs` N x h x w x 1 in 0..1.
        size: of its input.
        margin: of the crop, in shares of the lungs' height and width.
        threads: of one run; the predictor already runs one radiograph a thread.

    Raises:
        BadBundle: ONNX Runtime cannot open the file, or it is no lung network of this size.
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
                f"ONNX Runtime cannot open {LUNGS_FILE}. Give a folder of covid-xray train-lungs.", code="format"
            ) from None
        inputs = {tensor.name: list(tensor.shape[1:]) for tensor in self._session.get_inputs()}
        outputs = [tensor.name for tensor in self._session.get_outputs()]
        if inputs != {"image": [size, size, 1]} or outputs != ["lungs"]:
            raise BadBundle(
                f"{LUNGS_FILE} is no lung network for {size} x {size} pixels: it maps {inputs} to {outputs}. Give a "
                "folder of covid-xray train-lungs.",
                code="format",
            )
        self.size, self.margin = size, margin

    def find(self, radiograph: Radiograph) -> Lungs:
        """Find the lungs of `radiograph`, plausible or not."""
        pixels = to_input(radiograph, height=self.size, width=self.size)
        (found,) = self._session.run(["lungs"], {"image": pixels[None, :, :, None].astype(np.float32)})
        lungs = lungs_of(found[0, :, :, 0], margin=self.margin)
        return dataclasses.replace(lungs, opaque=opaque_share(pixels, lungs.mask) if lungs.plausible else None)


def lungs_of(probability: NDArray[np.float32], *, margin: float = MARGIN) -> Lungs:
    """Compute mask, crop box and verdict from the network's h x w output."""
    sides = pair_of(probability > 0.5)
    mask = np.logical_or.reduce(sides)
    plausible = mask.any() and _plausible(mask, sides, probability)
    box = _with_margin(_box(mask), margin) if plausible else WHOLE
    return Lungs(probability=probability, mask=mask, box=box, plausible=bool(plausible), sides=tuple(sides))


def cropped(radiograph: Radiograph, box: Box) -> Radiograph:
    """Cut out the part of `radiograph` inside `box` (top, left, bottom, right in shares of the picture)."""
    rows, columns = box_pixels(box, *radiograph.pixels.shape)
    pixels: Any = np.ascontiguousarray(radiograph.pixels[rows, columns])
    return dataclasses.replace(radiograph, pixels=pixels)


def box_pixels(box: Box, height: int, width: int) -> tuple[slice, slice]:
    """Compute rows and columns of `box` in a picture of height x width; at least one of each."""
    top, left, bottom, right = box
    first_row, first_column = min(height - 1, int(top * height)), min(width - 1, int(left * width))
    last_row = max(first_row + 1, min(height, round(bottom * height)))
    last_column = max(first_column + 1, min(width, round(right * width)))
    return slice(first_row, last_row), slice(first_column, last_column)


def pair_of(mask: NDArray[np.bool_]) -> list[NDArray[np.bool_]]:
    """Find the two lungs in an h x w mask, left of the picture first; one part where they cannot be separated.

    The two largest connected parts count (4 neighbours), a second one above a tenth of the first. They are the lungs
    where they lie beside each other; otherwise they are cut where they are lowest between two higher halves.
    """
    labels = _labels(mask)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    order = np.argsort(sizes)[::-1][:2]
    parts = sorted((labels == name for name in order if sizes[name] > 0.1 * sizes[order[0]]), key=_centre)
    if len(parts) < 2:
        return _split(parts[0] if parts else np.zeros_like(mask))
    both = parts[0] | parts[1]
    width = np.ptp(np.flatnonzero(both.any(axis=0))) + 1
    return parts if _centre(parts[1]) - _centre(parts[0]) >= 0.2 * width else _split(both)


def _centre(mask: NDArray[np.bool_]) -> float:
    columns = mask.sum(axis=0)
    return float((columns * np.arange(len(columns))).sum() / columns.sum())


def _split(mask: NDArray[np.bool_]) -> list[NDArray[np.bool_]]:
    columns = mask.sum(axis=0)
    held = np.flatnonzero(columns)
    if len(held) < 4:
        return [mask]
    first, width = held[0], held[-1] + 1 - held[0]
    low, high = first + int(MIDDLE[0] * width), first + int(MIDDLE[1] * width) + 1
    valley = low + int(np.argmin(columns[low:high]))
    if columns[valley] > VALLEY * min(columns[:valley].max(initial=0), columns[valley:].max(initial=0)):
        return [mask]
    left = np.arange(mask.shape[1]) < valley
    return [mask & left, mask & ~left]


def _labels(mask: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Number the connected parts (4 neighbours) from 1, h x w; 0 elsewhere.

    Runs of each row are joined with the runs of the row above that they touch: a mask of lungs has a few hundred runs.
    """
    height, width = mask.shape
    padded = np.zeros((height, width + 1), np.int8)  # a column between the rows, so that no run goes on in the next
    padded[:, :width] = mask
    steps = np.diff(padded.ravel(), prepend=np.int8(0))
    starts, ends = np.flatnonzero(steps == 1), np.flatnonzero(steps == -1)
    # Run i touches the runs of the row above that end after its start and start before its end.
    first = np.searchsorted(ends, starts - (width + 1), side="right").tolist()
    last = np.searchsorted(starts, ends - (width + 1), side="left").tolist()
    parent = list(range(len(starts)))
    for number, (low, high) in enumerate(zip(first, last, strict=True)):
        for other in range(low, high):
            parent[_root(parent, number)] = _root(parent, other)
    names = np.array([_root(parent, number) + 1 for number in range(len(parent))], np.int32)
    padded_labels = np.zeros(padded.size, np.int32)
    padded_labels[starts], padded_labels[ends] = names, -names
    return padded_labels.cumsum(dtype=np.int32).reshape(padded.shape)[:, :width]


def _root(parent: list[int], number: int) -> int:
    while parent[number] != number:
        parent[number] = parent[parent[number]]
        number = parent[number]
    return number


def dilated(mask: NDArray[np.bool_], reach: int) -> NDArray[np.bool_]:
    """Dilate an h x w mask by a square of `reach` pixels to each side; `~dilated(~mask, reach)` erodes it."""
    for axis in (0, 1):
        grown = np.moveaxis(mask.copy(), axis, 0)
        source = np.moveaxis(mask, axis, 0)
        for step in range(1, reach + 1):
            grown[step:] |= source[:-step]
            grown[:-step] |= source[step:]
        mask = np.moveaxis(grown, 0, axis)
    return mask


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


def _plausible(mask: NDArray[np.bool_], sides: list[NDArray[np.bool_]], probability: NDArray[np.float32]) -> bool:
    top, left, bottom, right = _box(mask)
    shares = [float(side.sum() / mask.sum()) for side in sides]
    certain = float(np.abs(2 * probability[mask] - 1).mean())
    return (
        AREA[0] <= mask.mean() <= AREA[1]
        and ASPECT[0] <= (bottom - top) / (right - left) <= ASPECT[1]
        and len(shares) == 2
        and min(shares) >= SIDE
        and certain >= CERTAIN
    )
