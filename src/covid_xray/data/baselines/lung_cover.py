"""Where the lungs are in a thumbnail, so that they can be blacked out: masks where every image has one, else a box.

Masks for some images and a box for the others would tell the classes by themselves, so it is one or the other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt

from covid_xray.config import Limits
from covid_xray.data.doctor.pixel_facts import SIDE, grey8
from covid_xray.data.manifest.manifest import Manifest
from covid_xray.data.manifest.readers import files_below
from covid_xray.errors import BadImage
from covid_xray.images.decode import decode

BOX = (0.05, 0.90, 0.05, 0.95)  # top, bottom, left, right: holds 99 % of the lung area of 178 masks (ieee8023)
MARGIN = 1  # thumbnail pixels around a mask, since the edge of a lung is not sharp at 32 x 32


@dataclass(frozen=True, eq=False)
class Cover:
    """What is blacked out: N x 32 x 32 booleans (or 1 x 32 x 32 for all), and a sentence that says what it is."""

    covered: npt.NDArray[np.bool_]
    says: str

    def blacked(self, thumbnails: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
        """The thumbnails with the covered pixels black: N x 32 x 32 uint8 -> N x 1024."""
        return np.where(self.covered, 0, thumbnails).reshape(len(thumbnails), -1).astype(np.float64)


def cover_lungs(manifest: Manifest, *, masks: Path | None = None, limits: Limits | None = None) -> Cover:
    """The cover for the images of `manifest`.

    Args:
        manifest: N images.
        masks: folder with a mask image of the same name (any suffix) for each image; bright is lung.
        limits: what one mask may cost.
    """
    box = _box()
    if masks is None:
        return Cover(box, _box_says("no masks were given"))
    found = _masks(manifest.table["image"].tolist(), masks, limits=limits or Limits())
    have = sum(mask is not None for mask in found)
    if have < len(found):
        return Cover(box, _box_says(f"masks exist for {have:,} of {len(found):,} images only"))
    return Cover(np.stack([mask for mask in found if mask is not None]), "the lungs (masks of every image)")


def _box() -> npt.NDArray[np.bool_]:
    top, bottom, left, right = (round(share * SIDE) for share in BOX)
    box = np.zeros((1, SIDE, SIDE), dtype=bool)
    box[:, top:bottom, left:right] = True
    return box


def _box_says(why: str) -> str:
    top, bottom, left, right = BOX
    return f"a box over the lungs ({top:.0%} to {bottom:.0%} down, {left:.0%} to {right:.0%} across; {why})"


def _masks(images: Sequence[str], folder: Path, *, limits: Limits) -> list[npt.NDArray[np.bool_] | None]:
    import cv2

    by_stem = {PurePosixPath(name).stem: folder / name for name in files_below(folder)}
    found: list[npt.NDArray[np.bool_] | None] = []
    for image in images:
        path = by_stem.get(PurePosixPath(image).stem)
        try:
            pixels = grey8(decode(path, limits=limits)) if path else None
        except BadImage:
            pixels = None
        if pixels is None:
            found.append(None)
            continue
        small = cv2.resize((pixels > 127).astype(np.float32), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        size = 2 * MARGIN + 1
        found.append(cv2.dilate((small > 0.05).astype(np.uint8), np.ones((size, size), np.uint8)).astype(bool))
    return found
