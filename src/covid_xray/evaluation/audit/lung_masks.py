"""A radiograph in, where its lungs are out: from mask files, from a lung network, or a box that fits most.

One study uses one kind of mask for all its images. Masks drawn for the images of one class and boxes for the rest would
tell the classes apart by the shape of what is hidden.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from covid_xray.data.baselines.lung_cover import BOX
from covid_xray.data.doctor.pixel_facts import grey8
from covid_xray.data.manifest.readers import files_below
from covid_xray.errors import BadImage, InputRefused, UsageError
from covid_xray.images.decode import decode
from covid_xray.images.radiograph import Radiograph
from covid_xray.limits import Limits

KINDS = ("auto", "files", "network", "box")
RATIO = 0.02  # how far width/height of mask and picture may differ: another crop of the same name is another picture

Mask = NDArray[np.bool_]


class Found(Protocol):
    """What a network took for lungs; `inference.lungs.Lungs` is one."""

    @property
    def plausible(self) -> bool: ...  # noqa: D102

    def at_size(self, height: int, width: int) -> Mask: ...  # noqa: D102


class LungMasks(Protocol):
    """Where the lungs of the images of one study are."""

    @property
    def kind(self) -> str:
        """`files`, `network` or `box`."""
        ...

    @property
    def says(self) -> str:
        """What the masks are, as the end of a sentence."""
        ...

    def mask(self, image: str, radiograph: Radiograph, found: Found | None) -> Mask | None:
        """H x W at the radiograph's size; `None` where the lungs of this image are not known.

        `found` is what the bundle's lung network took for lungs, where it has one.
        """
        ...


@dataclass(frozen=True)
class MaskFiles:
    """Mask images in a folder: bright is lung; `files` maps an image of the manifest to its mask."""

    files: Mapping[str, Path]
    limits: Limits = field(default_factory=Limits)
    kind: str = "files"
    says: str = "mask files"

    def mask(self, image: str, radiograph: Radiograph, found: Found | None = None) -> Mask | None:
        """As `LungMasks.mask`; a mask of another shape than the picture is none."""
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
    """What the lung network of the bundle takes for lungs."""

    kind: str = "network"
    says: str = "the outlines that the lung network of the bundle draws"

    def mask(self, image: str, radiograph: Radiograph, found: Found | None = None) -> Mask | None:
        """As `LungMasks.mask`; `None` where what was found cannot be a pair of lungs."""
        return found.at_size(*radiograph.pixels.shape) if found is not None and found.plausible else None


@dataclass(frozen=True)
class BoxMasks:
    """One box for all images: it hides the lungs of nearly every frontal picture, and much beside them."""

    kind: str = "box"
    says: str = (
        f"one box for all images, {BOX[0]:.0%} to {BOX[1]:.0%} down and {BOX[2]:.0%} to {BOX[3]:.0%} across, "
        "which holds the heart and spine as well"
    )

    def mask(self, image: str, radiograph: Radiograph, found: Found | None = None) -> Mask | None:
        """As `LungMasks.mask`; never `None`."""
        height, width = radiograph.pixels.shape
        top, bottom, left, right = BOX
        mask = np.zeros((height, width), dtype=bool)
        mask[round(top * height) : round(bottom * height), round(left * width) : round(right * width)] = True
        return mask


def choose_masks(
    images: Sequence[str], *, folder: Path | None = None, network: bool = False, wish: str = "auto"
) -> LungMasks:
    """The best kind of mask that there is for every image: files, else the lung network, else the box.

    Args:
        images: of the manifest.
        folder: of mask files, or `None`.
        network: whether the bundle has a lung network.
        wish: `auto`, or the kind to use; with `files`, images without one are left out of the study.

    Raises:
        UsageError: a kind that does not exist, or `files` without a folder.
        InputRefused: no file fits an image, or the bundle has no lung network.
    """
    if wish not in KINDS:
        raise UsageError(f"expected lungs of the kind {', '.join(KINDS)}. Received: {wish!r}")
    if wish == "files" and folder is None:
        raise UsageError("expected --masks DIR for --lungs files. Received: no folder")
    if wish == "network" and not network:
        raise InputRefused("expected a bundle with a lung network for --lungs network. Received: one without")
    files = mask_files(images, folder) if folder is not None else {}
    if wish == "files" and not files:
        raise InputRefused(f"expected masks named like the images in {folder}. Received: none that fits")
    if wish == "files" or (wish == "auto" and len(files) == len(images)):
        return MaskFiles(files)
    if network and wish in ("auto", "network"):
        return NetworkMasks()
    return BoxMasks()


def mask_files(images: Sequence[str], folder: Path) -> dict[str, Path]:
    """Image to mask file. The names agree up to the suffix, and so do their folders where the masks are in folders.

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
    """The mask at height x width; a pixel is lung where half of it is."""
    if mask.shape == (height, width):
        return mask
    import cv2

    return np.asarray(cv2.resize(mask.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA) > 0.5)


def dice(first: Mask, second: Mask) -> float:
    """Overlap of two masks of one size, 0..1 (Dice 1945); 1 where both are empty."""
    both = first.sum() + second.sum()
    return float(2 * (first & second).sum() / both) if both else 1.0
