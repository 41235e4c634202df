"""Find the lungs of a radiograph: from mask files, from the bundle's lung network, or from one fixed box.

A study uses one kind of mask for all images; otherwise the shape of the hidden part could reveal the class.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from covid_xray.data.baselines.lung_cover import BOX
from covid_xray.data.doctor.pixel_facts import grey8
from covid_xray.errors import BadImage, InputRefused, UsageError
from covid_xray.files import files_below
from covid_xray.images.decode import decode
from covid_xray.images.radiograph import Radiograph
from covid_xray.limits import Limits

KINDS = ("auto", "files", "network", "box")
RATIO = 0.02  # how far width/height of mask and picture may differ: another crop of the same name is another picture

Mask = NDArray[np.bool_]


class LungOutline(Protocol):
    """The lungs that a network found; `inference.lungs.Lungs` is one."""

    @property
    def plausible(self) -> bool: ...  # noqa: D102

    def at_size(self, height: int, width: int) -> Mask: ...  # noqa: D102


class LungMasks(Protocol):
    """The source of the lung masks of one study."""

    @property
    def kind(self) -> str:
        """`files`, `network` or `box`."""
        ...

    @property
    def says(self) -> str:
        """Description of the masks, as the end of a sentence."""
        ...

    def mask(self, image: str, radiograph: Radiograph, found: LungOutline | None) -> Mask | None:
        """Return H x W at the radiograph's size, or `None` where the lungs of this image are not known.

        `found` is the result of the bundle's lung network, where it has one.
        """
        ...


@dataclass(frozen=True)
class MaskFiles:
    """Mask images in a folder: bright is lung; `files` maps an image of the manifest to its mask."""

    files: Mapping[str, Path]
    limits: Limits = field(default_factory=Limits)
    kind: str = "files"
    says: str = "mask files"

    def mask(self, image: str, radiograph: Radiograph, found: LungOutline | None = None) -> Mask | None:
        """Read the mask file; `None` where there is none or its shape differs from the radiograph's."""
        path = self.files.get(image)
        if path is None:
            return None
        try:
            pixels = grey8(decode(path, limits=self.limits))
        except BadImage:
            return None
        height, width = radiograph.pixels.shape
        if abs(pixels.shape[1] / pixels.shape[0] / (width / height) - 1) > RATIO:
            return None
        return resized(pixels > 127, height=height, width=width)


@dataclass(frozen=True)
class NetworkMasks:
    """Masks of the bundle's lung network."""

    kind: str = "network"
    says: str = "the outlines that the lung network of the bundle draws"

    def mask(self, image: str, radiograph: Radiograph, found: LungOutline | None = None) -> Mask | None:
        """Return what the network found; `None` where it cannot be a pair of lungs."""
        return found.at_size(*radiograph.pixels.shape) if found is not None and found.plausible else None


@dataclass(frozen=True)
class BoxMasks:
    """One box for all images; it holds the lungs of nearly every frontal picture, and much beside them."""

    kind: str = "box"
    says: str = (
        f"one box for all images, {BOX[0]:.0%} to {BOX[1]:.0%} down and {BOX[2]:.0%} to {BOX[3]:.0%} across, "
        "which holds the heart and spine as well"
    )

    def mask(self, image: str, radiograph: Radiograph, found: LungOutline | None = None) -> Mask | None:
        """Return the box; never `None`."""
        height, width = radiograph.pixels.shape
        top, bottom, left, right = BOX
        mask = np.zeros((height, width), dtype=bool)
        mask[round(top * height) : round(bottom * height), round(left * width) : round(right * width)] = True
        return mask


def choose_masks(
    images: Sequence[str], *, folder: Path | None = None, network: bool = False, wish: str = "auto"
) -> LungMasks:
    """Choose the best kind of mask available for every image: files, else the lung network, else the box.

    Args:
        images: of the manifest.
        folder: of mask files, or `None`.
        network: whether the bundle has a lung network.
        wish: `auto`, or the kind to use; with `files`, images without one are left out of the study.

    Raises:
        UsageError: an unknown kind, or `files` without a folder.
        InputRefused: no file fits an image, or the bundle has no lung network.
    """
    if wish not in KINDS:
        raise UsageError(f"Unknown kind of lungs: {wish!r}. Give --lungs {', '.join(KINDS)}.")
    if wish == "files" and folder is None:
        raise UsageError("No folder of masks. Give --masks DIR with --lungs files.")
    if wish == "network" and not network:
        raise InputRefused("The bundle has no lung network. Give --lungs files or box.")
    files = mask_files(images, folder) if folder is not None else {}
    if wish == "files" and not files:
        raise InputRefused(f"No mask in {folder} is named like an image. Give masks with the names of the images.")
    if wish == "files" or (wish == "auto" and len(files) == len(images)):
        return MaskFiles(files)
    if network and wish in ("auto", "network"):
        return NetworkMasks()
    return BoxMasks()


def mask_files(images: Sequence[str], folder: Path) -> dict[str, Path]:
    """Map images to mask files whose names, and folders where there are any, agree up to the suffix.

    `masks/ieee8023/a.png` is the mask of `images/ieee8023/a.jpg` and not of `images/other/a.jpg`.
    """
    below = {str(PurePosixPath(name).with_suffix("")): folder / name for name in files_below(folder)}
    found = {}
    for image in images:
        parts = PurePosixPath(image).with_suffix("").parts
        keys = ("/".join(parts[start:]) for start in range(len(parts)))
        match = next((below[key] for key in keys if key in below), None)
        if match is not None:
            found[image] = match
    return found


def resized(mask: Mask, *, height: int, width: int) -> Mask:
    """Resize the mask to height x width; a pixel is lung where half of it is."""
    if mask.shape == (height, width):
        return mask
    import cv2

    return np.asarray(cv2.resize(mask.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA) > 0.5)


def dice(first: Mask, second: Mask) -> float:
    """Return the overlap of two masks of one size, 0..1 (Dice 1945); 1 where both are empty."""
    both = first.sum() + second.sum()
    return float(2 * (first & second).sum() / both) if both else 1.0
