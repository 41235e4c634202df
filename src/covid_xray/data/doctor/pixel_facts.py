"""Measure images once for the doctor and the no-lung baselines: thumbnail, borders, burnt-in marks."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from covid_xray.config import Limits
from covid_xray.data.manifest.manifest import Manifest
from covid_xray.images.decode import decode
from covid_xray.images.radiograph import Radiograph

SIDE = 32  # thumbnails are SIDE x SIDE; the aspect ratio is not kept, as for networks
LONGEST = 512  # longest side for finding marks; letters of a film are then 8 to 30 pixels high
FLAT = 6  # grey levels by which a row of a black bar may vary after JPEG
GreyImage = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class PixelFacts:
    """Facts of N images, in the order of the manifest.

    Args:
        thumbnails: N x 32 x 32 uint8.
        table: index `image`; float columns `border` (area share of flat bars along the edges), `marks` (number of
            letter-sized bright strokes), `edge_marks` (those in the outer fifth), `mean`, `contrast` (grey levels).
    """

    thumbnails: npt.NDArray[np.uint8]
    table: pd.DataFrame


def measure(
    manifest: Manifest,
    *,
    limits: Limits | None = None,
    progress: Callable[[int, int], None] | None = None,
    workers: int = 2,
) -> PixelFacts:
    """Decode and measure every image of `manifest`, which was read with `check=True`.

    Args:
        manifest: N images.
        limits: limits for one file.
        progress: called with (images done, number of images).
        workers: threads; each OpenCV call uses one.

    Raises:
        BadImage: a file cannot be decoded any more.
    """
    import cv2

    cv2.setNumThreads(1)
    images = manifest.table["image"].tolist()
    thumbnails = np.zeros((len(images), SIDE, SIDE), dtype=np.uint8)
    rows: list[dict[str, float]] = []
    with ThreadPoolExecutor(workers) as pool:
        jobs = pool.map(lambda image: _measure_file(manifest.path(image), limits=limits or Limits()), images)
        for number, (thumbnail, facts) in enumerate(jobs):
            thumbnails[number] = thumbnail
            rows.append(facts)
            if progress:
                progress(number + 1, len(images))
    return PixelFacts(thumbnails, pd.DataFrame(rows, index=pd.Index(images, name="image")))


def grey8(radiograph: Radiograph) -> GreyImage:
    """Return the top 8 bits of the pixels, H x W uint8."""
    return (radiograph.pixels >> (radiograph.bits - 8)).astype(np.uint8)


def border_share(pixels: GreyImage) -> float:
    """Return the area share, 0..1, of bars along the four edges whose rows or columns are flat."""
    top, bottom = _flat_lines(pixels), _flat_lines(pixels[::-1])
    left, right = _flat_lines(pixels.T), _flat_lines(pixels.T[::-1])
    rows, columns = pixels.shape
    inside = max(0, rows - top - bottom) * max(0, columns - left - right)
    return 1 - inside / pixels.size


def mark_boxes(pixels: GreyImage) -> npt.NDArray[np.int64]:
    """Find letter-sized bright strokes such as letters, arrows and lead markers: K x 4 (left, top, width, height).

    A stroke is nearly white, at least 90 grey levels above the median of its surroundings (31 x 31), 7 to 44 pixels
    high when the longest side is 512, and fills 1/8 to 9/10 of its box. Bones and tubes are greyer or longer.
    """
    import cv2

    scale = LONGEST / max(pixels.shape)
    size = (max(8, round(pixels.shape[1] * scale)), max(8, round(pixels.shape[0] * scale)))
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    around = cv2.medianBlur(small, 31)
    bright = ((small >= 215) & (small.astype(np.int16) - around >= 90)).astype(np.uint8)
    _, _, stats, _ = cv2.connectedComponentsWithStats(bright, connectivity=8)
    left, top, width, height, area = stats[1:].T
    fill = area / (width * height)
    kept = (height >= 7) & (height <= 44) & (width >= 2) & (width <= 60) & (fill >= 1 / 8) & (fill <= 0.9)
    boxes: npt.NDArray[np.int64] = np.stack([left, top, width, height], axis=1)[kept].astype(np.int64)
    return np.round(boxes / scale).astype(np.int64)


def _measure_file(path: Path, *, limits: Limits) -> tuple[GreyImage, dict[str, float]]:
    import cv2

    pixels = grey8(decode(path, limits=limits))
    boxes = mark_boxes(pixels)
    rows, columns = pixels.shape
    x = (boxes[:, 0] + boxes[:, 2] / 2) / columns
    y = (boxes[:, 1] + boxes[:, 3] / 2) / rows
    outer = (np.minimum(x, 1 - x) < 0.2) | (np.minimum(y, 1 - y) < 0.2)
    facts = {
        "border": border_share(pixels),
        "marks": float(len(boxes)),
        "edge_marks": float(outer.sum()),
        "mean": float(pixels.mean()),
        "contrast": float(pixels.std()),
    }
    return cv2.resize(pixels, (SIDE, SIDE), interpolation=cv2.INTER_AREA), facts


def _flat_lines(pixels: GreyImage) -> int:
    """Count the leading rows that are flat and equal to the first; 0 when all rows are."""
    span = pixels.max(axis=1).astype(np.int16) - pixels.min(axis=1)
    middle = np.median(pixels, axis=1)
    flat = (span <= FLAT) & (np.abs(middle - middle[0]) <= FLAT)
    return 0 if flat.all() else int(np.argmin(flat))
