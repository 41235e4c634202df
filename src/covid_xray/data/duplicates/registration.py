"""Decide whether two fingerprints show one radiograph by registering the images.

Aligned by their keypoints, copies agree everywhere and to a fraction of a pixel; two films of one patient agree in the
bones at best, and are deformed.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from covid_xray.data.duplicates.fingerprints import UNIT, Fingerprint, mirrored

# In the real set, different films reach 0.74 and copies begin at 0.89 (docs/how-to/duplicates.md).
COPY = 0.80
PRECISION_WEIGHT = 0.35
PRECISE = 1.0  # pixels of the small image
LOOSE = 3.0  # pixels: RANSAC's reprojection error
RATIO = 0.9  # Lowe's ratio test, mild since matches must also be mutual
INLIERS = 8  # six numbers are fitted; fewer keypoints prove nothing
OVERLAP = 0.25  # least overlap as a share of either image
BLOCK = 16  # pixels: side of the compared blocks
BLOCKS = 12  # least number of blocks
KEPT = 0.8  # share of the blocks that count; the others may be labels, arrows, pasted boxes
FINE, COARSE = 1.0, 3.0  # pixels (sigma): band of the compared detail


@dataclass(frozen=True)
class Registration:
    """Agreement of two images after alignment.

    Args:
        correlation: of the fine detail, over the best `KEPT` of the blocks, -1..1; 0 without alignment.
        precision: share of the matched keypoints in the overlap within `PRECISE` pixels, 0..1.
    """

    correlation: float = 0.0
    precision: float = 0.0

    @property
    def agreement(self) -> float:
        """Weighted mean of both, 0..1."""
        return (1 - PRECISION_WEIGHT) * max(self.correlation, 0.0) + PRECISION_WEIGHT * self.precision

    @property
    def is_copy(self) -> bool:
        """Whether both show one radiograph."""
        return self.agreement >= COPY


NOT_ALIGNED = Registration()


def register(first: Fingerprint, second: Fingerprint, *, mirror: bool = False) -> Registration:
    """Align `first` (mirrored when `mirror`) to `second` by an affine map and measure their agreement.

    The map is fitted to mutual nearest descriptors by RANSAC (Fischler and Bolles 1981). `correlation` stays 0 where
    the keypoints alone exclude a copy.
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
    """Match points that are mutually nearest by descriptor and pass the ratio test, n x 2 each."""
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
    """Accept any rotation, a scale of 1/5 to 5, and a ratio of the scales below 2; no mirror image."""
    large, small = np.linalg.svd(affine[:, :2], compute_uv=False)
    return bool(np.linalg.det(affine[:, :2]) > 0 and small > 0.2 and large < 5 and large < 2 * small)


def _precision(
    affine: NDArray[np.float64],
    here: NDArray[np.float32],
    there: NDArray[np.float32],
    shape: tuple[int, ...],
    target: tuple[int, ...],
) -> float:
    """Return the share of the matches in the overlap within `PRECISE` pixels of the second image."""
    mapped = _transform(affine, here)
    overlap = _inside(mapped, target) & _inside(_transform(cv2.invertAffineTransform(affine), there), shape)
    error = np.hypot(*(mapped - there)[overlap].T)
    return float((error < PRECISE).mean()) if len(error) >= INLIERS else 0.0


def _transform(affine: NDArray[np.float64], points: NDArray[np.float32]) -> NDArray[np.float64]:
    return points @ affine[:, :2].T + affine[:, 2]


def _inside(points: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    return np.all((points >= 0) & (points < (shape[1], shape[0])), axis=1)


def _correlation(affine: NDArray[np.float64], first: NDArray[np.uint8], second: NDArray[np.uint8]) -> float:
    size = (second.shape[1], second.shape[0])
    warped = cv2.warpAffine(first, affine, size, flags=cv2.INTER_LINEAR)
    covered = cv2.warpAffine(np.full_like(first, 255), affine, size, flags=cv2.INTER_NEAREST)
    # Leave out four pixels at its edge, which is no detail of the film.
    covered = cv2.erode(covered, np.ones((9, 9), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=0) > 0
    shares = covered.sum() / np.array([first.size * np.linalg.det(affine[:, :2]), second.size])
    if shares.max() < OVERLAP:
        return 0.0
    return _trimmed_correlation(_detail(warped), _detail(second), covered)


def _detail(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Extract the detail between `FINE` and `COARSE`, normalised to the same local strength."""
    fine = cv2.GaussianBlur(picture.astype(np.float32), (0, 0), FINE)
    band = fine - cv2.GaussianBlur(fine, (0, 0), COARSE)
    strength = cv2.GaussianBlur(band**2, (0, 0), 2 * COARSE)
    return np.asarray(band / np.sqrt(strength + 1), np.float32)


def _trimmed_correlation(x: NDArray[np.float32], y: NDArray[np.float32], mask: NDArray[np.bool_]) -> float:
    """Correlate the blocks that differ least; 0 where fewer than `BLOCKS` are covered."""
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
