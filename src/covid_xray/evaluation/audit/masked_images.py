"""Read images as the network sees them, together with the position of the lungs.

The audit hides parts of the network's own input. Any crop is decided on the untouched radiograph, and the mask is
transformed like the picture.
"""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from covid_xray.data.manifest.manifest import Manifest
from covid_xray.errors import BadImage, InputRefused
from covid_xray.evaluation.audit.lung_masks import LungMasks, Mask, MaskFiles, dice
from covid_xray.images.pixels import to_input
from covid_xray.images.radiograph import Radiograph
from covid_xray.inference.io.inputs import open_source
from covid_xray.inference.lungs import cropped
from covid_xray.inference.predictor import Predictor

Progress = Callable[[int, int], None]
SMALLEST_LUNGS = 0.02  # share of the network's input; below that the lungs are mostly edge


@dataclass(frozen=True, eq=False)
class MaskedImages:
    """N images as the network sees them."""

    table: pd.DataFrame  # rows of the manifest, in order
    pixels: NDArray[np.uint8]  # N x h x w uint8, the network's input
    lungs: NDArray[np.bool_]  # N x h x w, where the lungs are in it
    dice: tuple[float, ...]  # overlap of the masks in use with mask files, for the images that have both; 0..1 each
    left_out: Mapping[str, str]  # image to the reason why it is not here

    def take(self, rows: NDArray[np.int64]) -> "MaskedImages":
        """Select the images at these positions."""
        table = self.table.iloc[rows].reset_index(drop=True)
        return replace(self, table=table, pixels=self.pixels[rows], lungs=self.lungs[rows])


@dataclass(frozen=True, eq=False)
class _Seen:
    pixels: NDArray[np.uint8]
    lungs: Mask
    dice: float | None


def read_masked_images(
    predictor: Predictor,
    manifest: Manifest,
    masks: LungMasks,
    *,
    files: MaskFiles | None = None,
    workers: int = 2,
    progress: Progress | None = None,
) -> MaskedImages:
    """Read every image once; images that cannot be read or without known lungs are left out, with the reason.

    Args:
        predictor: whose input is meant.
        manifest: N images.
        masks: the source of the lung masks.
        files: mask files to compare `masks` with.
        workers: threads.
        progress: called with (images done, images in all).

    Raises:
        InputRefused: no image is left.
    """
    images = manifest.table["image"].tolist()

    def read(image: str) -> _Seen | str:
        return _scene(predictor, image, manifest.path(image), masks, files)

    found: dict[str, _Seen] = {}
    left_out: dict[str, str] = {}
    with ThreadPoolExecutor(workers, thread_name_prefix="scenes") as pool:
        for number, (image, seen) in enumerate(zip(images, pool.map(read, images), strict=True)):
            if isinstance(seen, str):
                left_out[image] = seen
            else:
                found[image] = seen
            if progress:
                progress(number + 1, len(images))
    if not found:
        raise InputRefused(f"No image with known lungs: {len(left_out)} images without. Give masks or --lungs box.")
    return MaskedImages(
        table=manifest.take(list(found)).table,
        pixels=np.stack([seen.pixels for seen in found.values()]),
        lungs=np.stack([seen.lungs for seen in found.values()]),
        dice=tuple(seen.dice for seen in found.values() if seen.dice is not None),
        left_out=left_out,
    )


def sample_images(manifest: Manifest, *, count: int, seed: int) -> Manifest:
    """Draw at most `count` images, stratified by label and source; the same seed draws the same images, in order."""
    table = manifest.table
    if len(table) <= count:
        return manifest
    random = np.random.default_rng(seed)
    keys = table["label"] + "\0" + table.get("source", "")
    # Each stratum is shuffled and spread evenly over 0..1; the first `count` of all of them keep the shares.
    rank = np.empty(len(table))
    for _, rows in keys.groupby(keys).groups.items():
        places = table.index.get_indexer(rows)
        rank[places] = (random.permutation(len(places)) + random.random()) / len(places)
    chosen = np.sort(np.argsort(rank, kind="stable")[:count])
    return manifest.take(table["image"].to_numpy()[chosen].tolist())


def describe_masks(scenes: MaskedImages, masks: LungMasks) -> dict[str, Any]:
    """Return what audit.json says of the masks; `area` is their share of the input."""
    agreement = None
    if scenes.dice:
        agreement = {"median": float(np.median(scenes.dice)), "lowest": min(scenes.dice), "images": len(scenes.dice)}
    return {
        "kind": masks.kind,
        "says": masks.says,
        "images": len(scenes.table),
        "area": float(scenes.lungs.mean()),
        "dice_with_files": agreement,
    }


def _scene(predictor: Predictor, image: str, path: Path, masks: LungMasks, files: MaskFiles | None) -> _Seen | str:
    try:
        radiograph = open_source(path, limits=predictor.limits)
    except BadImage as error:
        return error.message
    seen = predictor.viewer.view(radiograph)
    mask = masks.mask(image, radiograph, seen.lungs)
    if mask is None:
        return f"the lungs are not known ({masks.kind})"
    # The mask goes the way that the picture went: into the region that was chosen on the untouched radiograph.
    drawn = cropped(Radiograph(mask.astype(np.uint8) * np.uint8(255)), seen.region)
    lungs = to_input(drawn, height=predictor.bundle.height, width=predictor.bundle.width) > 127
    if lungs.mean() < SMALLEST_LUNGS:
        return f"the lungs take {lungs.mean():.1%} of the picture, too little to hide or show"
    other = files.mask(image, radiograph) if files is not None and masks.kind != "files" else None
    return _Seen(seen.pixels, lungs, None if other is None else dice(mask, other))
