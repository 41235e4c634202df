"""Compute what identifies a radiograph: hashes, a small image and local descriptors.

The fingerprints of a data set are in memory-mapped temporary files, about 0.1 MB per image.
"""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from covid_xray.config import Limits
from covid_xray.data.manifest.file_checks import pixels_sha256
from covid_xray.data.manifest.readers import Refusal
from covid_xray.errors import CovidXrayError, InputRefused
from covid_xray.files import read_bounded, sha256_bytes
from covid_xray.images.decode import decode
from covid_xray.images.radiograph import Radiograph

SIDE = 256  # longest side of the small image: shows ribs and vessels, but hardly film grain and JPEG blocks
POINTS = 400  # strongest keypoints kept of each image
UNIT = 512  # descriptors have length 1 and are stored as uint8 in steps of 1 / UNIT

Progress = Callable[[str, int, int], None]  # step, done, number


@dataclass(frozen=True, eq=False)
class Fingerprint:
    """Fingerprint of one image.

    Args:
        picture: H x W, uint8, longest side `SIDE`, stretched to 0..255.
        points: n x 2, float32: x and y of the keypoints in `picture`.
        descriptors: n x 128, uint8: RootSIFT in steps of 1 / `UNIT`.
    """

    picture: NDArray[np.uint8]
    points: NDArray[np.float32]
    descriptors: NDArray[np.uint8]


def fingerprint(radiograph: Radiograph) -> Fingerprint:
    """Compute the fingerprint of one radiograph.

    Local contrast is equalised first (CLAHE), so that copies of other contrast have the same keypoints. Descriptors
    are RootSIFT (Lowe 2004; Arandjelovic and Zisserman 2012).
    """
    picture = _small(radiograph)
    even = cv2.createCLAHE(clipLimit=3, tileGridSize=(8, 8)).apply(picture)
    keypoints, found = cv2.SIFT.create(contrastThreshold=0.02).detectAndCompute(even, None)
    if found is None:
        return Fingerprint(picture, np.zeros((0, 2), np.float32), np.zeros((0, 128), np.uint8))
    strongest = np.argsort([-point.response for point in keypoints], kind="stable")[:POINTS]
    points = np.array([keypoints[i].pt for i in strongest], np.float32)
    return Fingerprint(picture, points, _root(found[strongest]))


def mirrored(fingerprint: Fingerprint) -> Fingerprint:
    """Return the fingerprint of the image mirrored left to right, without recomputation."""
    picture = np.ascontiguousarray(fingerprint.picture[:, ::-1])
    points = fingerprint.points.copy()
    points[:, 0] = picture.shape[1] - 1 - points[:, 0]
    return Fingerprint(picture, points, mirrored_descriptors(fingerprint.descriptors))


def mirrored_descriptors(descriptors: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the SIFT descriptors of the mirrored patches, n x 128.

    A descriptor is a grid of 4 x 4 cells with 8 directions relative to the keypoint's own. A mirror swaps the two
    sides of that direction: the rows of the grid, and every angle with its negative.
    """
    grid = descriptors.reshape(-1, 4, 4, 8)
    return grid[:, ::-1, :, -np.arange(8) % 8].reshape(-1, 128)


class Album:
    """Fingerprints of many radiographs by number, in temporary files.

    Args:
        names: of the images, in the order of their numbers.
        files: SHA-256 of each file.
        pixels: SHA-256 of the decoded pixels.
    """

    def __init__(self) -> None:
        self.names: list[str] = []
        self.files: list[str] = []
        self.pixels: list[str] = []
        self._shapes: list[tuple[int, int]] = []
        self._picture_at = [0]
        self._point_at = [0]
        self._pictures, self._points, self._descriptors = _Growing(), _Growing(), _Growing()

    def __len__(self) -> int:
        return len(self.names)

    def add(self, name: str, *, file: str, pixels: str, fingerprint: Fingerprint) -> None:
        """Append one image; its number is the previous length of the album."""
        self.names.append(name)
        self.files.append(file)
        self.pixels.append(pixels)
        rows, columns = fingerprint.picture.shape
        self._shapes.append((rows, columns))
        self._picture_at.append(self._picture_at[-1] + rows * columns)
        self._point_at.append(self._point_at[-1] + len(fingerprint.points))
        self._pictures.append(fingerprint.picture)
        self._points.append(fingerprint.points)
        self._descriptors.append(fingerprint.descriptors)

    def __getitem__(self, number: int) -> Fingerprint:
        first, last = self._point_at[number], self._point_at[number + 1]
        at, end = self._picture_at[number], self._picture_at[number + 1]
        picture = np.array(self._pictures.view(np.uint8)[at:end]).reshape(self._shapes[number])
        points = self._points.view(np.float32).reshape(-1, 2)[first:last]
        return Fingerprint(picture, np.array(points), np.array(self.all_descriptors()[first:last]))

    def all_descriptors(self) -> NDArray[np.uint8]:
        """Map all descriptors, m x 128 uint8; image i has the rows `starts()[i]` to `starts()[i + 1]`."""
        return self._descriptors.view(np.uint8).reshape(-1, 128)

    def starts(self) -> NDArray[np.int64]:
        """Return the first row of each image's descriptors, and their number: length + 1 integers."""
        return np.array(self._point_at, np.int64)

    def close(self) -> None:
        """Remove the temporary files."""
        for part in (self._pictures, self._points, self._descriptors):
            part.close()


@contextmanager
def open_album(
    paths: Mapping[str, Path],
    *,
    workers: int = 2,
    progress: Progress | None = None,
    on_refused: Callable[[Refusal], None] | None = None,
    limits: Limits | None = None,
) -> Iterator[Album]:
    """Compute the fingerprints of `paths` (name to file), sorted by name; undecodable files go to `on_refused`."""
    names = sorted(paths)
    album = Album()
    try:
        with ThreadPoolExecutor(workers) as pool, one_thread_each():
            results = pool.map(lambda name: _read(name, paths[name], limits=limits or Limits()), names)
            for done, (name, result) in enumerate(zip(names, results, strict=True), start=1):
                if not isinstance(result, Refusal):
                    album.add(name, file=result[0], pixels=result[1], fingerprint=result[2])
                elif on_refused:
                    on_refused(result)
                if progress:
                    progress("reading", done, len(names))
        yield album
    finally:
        album.close()


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Limit OpenCV and BLAS to one thread in each worker thread."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        cv2.setNumThreads(before)


class _Growing:
    """A temporary file that is appended to and mapped as an array."""

    def __init__(self) -> None:
        self._stream: BinaryIO = tempfile.TemporaryFile()  # noqa: SIM115  (closed by `close`)
        self._view: NDArray[np.uint8] | None = None

    def append(self, array: np.ndarray) -> None:
        self._stream.write(np.ascontiguousarray(array).tobytes())
        self._view = None

    def view(self, kind: type[np.uint8] | type[np.float32]) -> np.ndarray:
        if self._view is None:
            self._stream.flush()
            empty = self._stream.tell() == 0
            self._view = np.zeros(0, np.uint8) if empty else np.memmap(self._stream, np.uint8, mode="r")
        return self._view.view(kind)

    def close(self) -> None:
        self._view = None
        self._stream.close()


def _read(name: str, path: Path, *, limits: Limits) -> tuple[str, str, Fingerprint] | Refusal:
    try:
        data = read_bounded(path, limit=limits.upload_bytes)
        radiograph = decode(data, limits=limits)
    except InputRefused as error:
        return Refusal(name, error.code, error.message)
    except (OSError, CovidXrayError):
        return Refusal(name, "unreadable-file", "The file cannot be read.")
    return sha256_bytes(data), pixels_sha256(radiograph), fingerprint(radiograph)


def _small(radiograph: Radiograph) -> NDArray[np.uint8]:
    """Resize to the longest side `SIDE`, and stretch the 0.5th to 99.5th percentile to 0..255."""
    pixels = radiograph.pixels
    scale = SIDE / max(pixels.shape)
    size = [max(16, round(side * scale)) for side in pixels.shape]
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    small = cv2.resize(pixels, (size[1], size[0]), interpolation=how).astype(np.float32)
    low, high = np.percentile(small, (0.5, 99.5))
    return np.clip((small - low) * (255 / max(high - low, 1)), 0, 255).astype(np.uint8)


def _root(descriptors: NDArray[np.float32]) -> NDArray[np.uint8]:
    share = descriptors / np.maximum(descriptors.sum(axis=1, keepdims=True), 1e-6)
    return np.clip(np.sqrt(share) * UNIT, 0, 255).astype(np.uint8)
