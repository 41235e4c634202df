"""Two fingerprints in, the proof or disproof that they show one radiograph out.

The pictures are laid over each other by their keypoints. Copies then agree everywhere and to a fraction of a pixel;
two films of one patient agree in the bones at best, and bend.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from covid_xray.data.duplicates.fingerprints import UNIT, Fingerprint, mirrored

# Where the two kinds part on the real set: different films reach .74, copies begin at .89 (docs/how-to/duplicates.md).
COPY = 0.80
PRECISION_WEIGHT = 0.35
PRECISE = 1.0  # pixels of the small picture
LOOSE = 3.0  # pixels: the reprojection error that RANSAC allows
RATIO = 0.9  # Lowe's ratio test, mild since matches must also be mutual
INLIERS = 8  # six numbers are fitted; fewer keypoints than this prove nothing
OVERLAP = 0.25  # least share of one of the pictures that the other shows
BLOCK = 16  # pixels: side of the blocks of which the worst are left out
BLOCKS = 12
KEPT = 0.8  # share of the blocks that count; the rest may be labels, arrows, pasted boxes
FINE, COARSE = 1.0, 3.0  # pixels (sigma): the band of detail that is compared


@dataclass(frozen=True)
class Registration:
    """How well two pictures agree after alignment.

    Args:
        correlation: of their fine detail, over the best `KEPT` of the blocks, -1..1; 0 where no alignment was found.
        precision: share of the matched keypoints in the overlap that meet within `PRECISE` pixels, 0..1.
    """

    correlation: float = 0.0
    precision: float = 0.0

    @property
    def agreement(self) -> float:
        """Both in one number, 0..1."""
        return (1 - PRECISION_WEIGHT) * max(self.correlation, 0.0) + PRECISION_WEIGHT * self.precision

    @property
    def is_copy(self) -> bool:
        """Whether the two are one radiograph."""
        return self.agreement >= COPY


NOT_ALIGNED = Registration()


def register(first: Fingerprint, second: Fingerprint, *, mirror: bool = False) -> Registration:
    """Align `first` (mirrored when `mirror`) to `second` by an affine map and measure how well they agree.

    The map comes from mutual nearest descriptors by RANSAC (Fischler and Bolles 1981). A pair that the keypoints
    alone rule out is not correlated: its `correlation` stays 0.
    """
    if mirror:
        first = mirrored(first)
    here, there = _matches(first, second)
    if len(here) < INLIERS:
        return NOT_ALIGNED
    affine, inliers = cv2.estimateAffine2D(
        here, there, method=cv2.RANSAC, ransacReprojThreshold=LOOSE, maxIters=1000, confidence=0.999
    )
    if affine is None or int(inliers.sum()) < INLIERS or not _plausible(affine):
        return NOT_ALIGNED
    precision = _precision(affine, here, there, first.picture.shape, second.picture.shape)
    if 1 - PRECISION_WEIGHT + PRECISION_WEIGHT * precision < COPY:
        return Registration(precision=precision)
    return Registration(_correlation(affine, first.picture, second.picture), precision)


def _matches(first: Fingerprint, second: Fingerprint) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Points of both that are each other's nearest by descriptor and pass the ratio test, n x 2 each."""
    if min(len(first.points), len(second.points)) < INLIERS:
        return np.zeros((0, 2), np.float32), np.zeros((0, 2), np.float32)
    cosine = first.descriptors.astype(np.float32) @ second.descriptors.astype(np.float32).T / UNIT**2
    rows = np.arange(len(cosine))
    there, back = cosine.argmax(axis=1), cosine.argmax(axis=0)
    best = cosine[rows, there].copy()
    cosine[rows, there] = -1
    # Distance of unit vectors: d^2 = 2 - 2 cos.
    distinct = 1 - best < RATIO**2 * (1 - cosine.max(axis=1))
    kept = (back[there] == rows) & distinct
    return first.points[kept], second.points[there[kept]]


def _plausible(affine: NDArray[np.float64]) -> bool:
    """Any turn, a size from a fifth to five times, squeezed to a half at most, not mirrored."""
    large, small = np.linalg.svd(affine[:, :2], compute_uv=False)
    return bool(np.linalg.det(affine[:, :2]) > 0 and small > 0.2 and large < 5 and large < 2 * small)


def _precision(
    affine: NDArray[np.float64],
    here: NDArray[np.float32],
    there: NDArray[np.float32],
    shape: tuple[int, ...],
    target: tuple[int, ...],
) -> float:
    """Share of the matches in the overlap that meet within `PRECISE` pixels of the second picture."""
    sent = _moved(affine, here)
    overlap = _inside(sent, target) & _inside(_moved(cv2.invertAffineTransform(affine), there), shape)
    error = np.hypot(*(sent - there)[overlap].T)
    return float((error < PRECISE).mean()) if len(error) >= INLIERS else 0.0


def _moved(affine: NDArray[np.float64], points: NDArray[np.float32]) -> NDArray[np.float64]:
    return points @ affine[:, :2].T + affine[:, 2]


def _inside(points: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    return np.all((points >= 0) & (points < (shape[1], shape[0])), axis=1)


def _correlation(affine: NDArray[np.float64], first: NDArray[np.uint8], second: NDArray[np.uint8]) -> float:
    size = (second.shape[1], second.shape[0])
    laid = cv2.warpAffine(first, affine, size, flags=cv2.INTER_LINEAR)
    covered = cv2.warpAffine(np.full_like(first, 255), affine, size, flags=cv2.INTER_NEAREST)
    # Its edge is no detail of the film: keep clear of it by four pixels.
    covered = cv2.erode(covered, np.ones((9, 9), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=0) > 0
    shown = covered.sum() / np.array([first.size * np.linalg.det(affine[:, :2]), second.size])
    if shown.max() < OVERLAP:
        return 0.0
    return _trimmed(_detail(laid), _detail(second), covered)


def _detail(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What is finer than `COARSE` and coarser than `FINE`, evened out to the same strength everywhere."""
    fine = cv2.GaussianBlur(picture.astype(np.float32), (0, 0), FINE)
    band = fine - cv2.GaussianBlur(fine, (0, 0), COARSE)
    strength = cv2.GaussianBlur(band**2, (0, 0), 2 * COARSE)
    return np.asarray(band / np.sqrt(strength + 1), np.float32)


def _trimmed(x: NDArray[np.float32], y: NDArray[np.float32], mask: NDArray[np.bool_]) -> float:
    """Correlation over the blocks that differ least; 0 where fewer than `BLOCKS` are covered."""
    weight = mask.astype(np.float32)
    share = _blocks(weight)
    covered = share > 0.6
    if covered.sum() < BLOCKS:
        return 0.0
    x, y = (x - x[mask].mean()) * weight, (y - y[mask].mean()) * weight
    xx, yy, xy = ((_blocks(z) / np.maximum(share, 0.1))[covered] for z in (x * x, y * y, x * y))
    difference = xx + yy - 2 * xy
    kept = difference <= np.quantile(difference, KEPT)
    return float(xy[kept].sum() / np.sqrt(xx[kept].sum() * yy[kept].sum() + 1e-6))


def _blocks(picture: NDArray[np.float32]) -> NDArray[np.float32]:
    rows, columns = (side // BLOCK for side in picture.shape)
    whole = picture[: rows * BLOCK, : columns * BLOCK]
    return whole.reshape(rows, BLOCK, columns, BLOCK).mean(axis=(1, 3))
