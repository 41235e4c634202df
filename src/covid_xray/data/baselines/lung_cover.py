"""Black out the lungs in thumbnails, by masks if every image has one, else by a box.

A mixture of both would itself predict the classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt

from covid_xray.config import Limits
from covid_xray.data.doctor.pixel_facts import SIDE, grey8
from covid_xray.data.manifest.manifest import Manifest
from covid_xray.errors import BadImage
from covid_xray.files import files_below
from covid_xray.images.decode import decode

BOX = (0.05, 0.90, 0.05, 0.95)  # top, bottom, left, right: holds 99 % of the lung area of 178 masks (ieee8023)
MARGIN = 1  # thumbnail pixels added around a mask, since lung edges are not sharp at 32 x 32


@dataclass(frozen=True, eq=False)
class Cover:
    """The blacked-out pixels, N x 32 x 32 booleans (or 1 x 32 x 32 for all), and what they are in words."""

    covered: npt.NDArray[np.bool_]
    says: str

    def apply(self, thumbnails: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
        """Black out the covered pixels: N x 32 x 32 uint8 -> N x 1024."""
        return np.where(self.covered, 0, thumbnails).reshape(len(thumbnails), -1).astype(np.float64)


def cover_lungs(manifest: Manifest, *, masks: Path | None = None, limits: Limits | None = None) -> Cover:
    """Make the cover for the images of `manifest`.

    Args:
        manifest: N images.
        masks: folder with a mask image of the same name (any suffix) for each image; lungs are bright.
        limits: limits for one mask.
    """
    box = _box()
    if masks is None:
        return Cover(box, _describe_box("no masks were given"))
    found = _read_masks(manifest.table["image"].tolist(), masks, limits=limits or Limits())
    have = sum(mask is not None for mask in found)
    if have < len(found):
        return Cover(box, _describe_box(f"masks exist for {have:,} of {len(found):,} images only"))
    return Cover(np.stack([mask for mask in found if mask is not None]), "the lungs (masks of every image)")


def _box() -> npt.NDArray[np.bool_]:
    top, bottom, left, right = (round(share * SIDE) for share in BOX)
    box = np.zeros((1, SIDE, SIDE), dtype=bool)
    box[:, top:bottom, left:right] = True
    return box


def _describe_box(why: str) -> str:
    top, bottom, left, right = BOX
    return f"a box over the lungs ({top:.0%} to {bottom:.0%} down, {left:.0%} to {right:.0%} across; {why})"


def _read_masks(images: Sequence[str], folder: Path, *, limits: Limits) -> list[npt.NDArray[np.bool_] | None]:
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
