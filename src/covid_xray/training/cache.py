"""Decode every image of a manifest once into a uint8 memory map (N x H x W), rows in the manifest's order.

An epoch then needs no decoding. Each file is hashed on the way, and a file that changed since it was indexed stops the
run before epoch 1.
"""

import json
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from covid_xray.bundle.lung_network import LungNetwork
from covid_xray.config import Limits
from covid_xray.data.manifest.manifest import Manifest
from covid_xray.errors import BadImage, BadManifest
from covid_xray.files import read_bounded, sha256_bytes, sha256_file, write_json, write_text
from covid_xray.images.decode import decode
from covid_xray.inference.view import Crop, Viewer

Progress = Callable[[int, int], None]
NAMED = 100  # refused images in a message


@dataclass(frozen=True, eq=False)
class PixelCache:
    """Pixels by image: `pixels[row[image]]` is the height x width uint8 picture of that image.

    Args:
        pixels: N x height x width.
        row: image -> row.
        equalised: the network's input is `lung_picture.equalise` of the pixels, after augmentation; a picture that is
            black all over had no plausible lungs, and is not used.
    """

    pixels: NDArray[np.uint8]
    row: Mapping[str, int]
    equalised: bool = False

    def usable(self, image: str) -> bool:
        """Say whether the picture shows anything to the network."""
        return not self.equalised or bool(self.pixels[self.row[image]].any())


def build_cache(
    manifest: Manifest,
    *,
    folder: Path,
    height: int,
    width: int,
    lungs: LungNetwork | None = None,
    crop: Crop = "none",
    workers: int = 0,
    progress: Progress | None = None,
) -> PixelCache:
    """Decode every image of `manifest` into `folder`/pixels.npy, or open that file if it holds the same images.

    With a `crop` each image is cropped to the lungs that the network `lungs` finds, by the same code as in a bundle.

    Raises:
        BadManifest: a file is missing, unreadable, or changed since it was indexed; all such files are named before
            any training, the first 100 in the message and every one in `folder`/refused.txt.
    """
    images = list(manifest.table["image"])
    viewer = Viewer(height=height, width=width, lungs=None if crop == "none" else lungs, crop=crop)
    facts = {**viewer.identity, "images": _identities(manifest)}
    path, facts_path = folder / "pixels.npy", folder / "pixels.json"
    row = {image: index for index, image in enumerate(images)}
    equalised = crop == "lungs-only"
    if _same(facts_path, facts, path):
        return PixelCache(np.load(path, mmap_mode="r"), row, equalised)
    folder.mkdir(parents=True, exist_ok=True)
    facts_path.unlink(missing_ok=True)  # from here until the end the cache is not valid
    pixels = np.lib.format.open_memmap(path, "w+", np.uint8, (len(images), height, width))
    refused = _fill(pixels, manifest, viewer, workers=workers, progress=progress)
    if refused:
        raise _not_as_indexed(refused, len(images), folder)
    pixels.flush()
    del pixels
    write_json(facts_path, {**facts, "sha256": sha256_file(path)})
    return PixelCache(np.load(path, mmap_mode="r"), row, equalised)


def _fill(
    pixels: NDArray[np.uint8], manifest: Manifest, viewer: Viewer, *, workers: int, progress: Progress | None
) -> list[str]:
    """Decode into `pixels`; return the images that were refused, each with its reason."""
    images = list(manifest.table["image"])
    expected = _identities(manifest)
    refused: list[str] = []

    def load(index: int) -> str | None:
        try:
            pixels[index] = _load(manifest.path(images[index]), expected[index][1], viewer)
        except (BadImage, BadManifest, OSError) as error:
            reason = error.message if isinstance(error, BadImage | BadManifest) else "the file cannot be read"
            return f"{images[index]}: {reason}"
        return None

    with ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
        for done, problem in enumerate(pool.map(load, range(len(images))), start=1):
            refused += [problem] if problem else []
            if progress:
                progress(done, len(images))
    return refused


def _not_as_indexed(refused: list[str], total: int, folder: Path) -> BadManifest:
    write_text(folder / "refused.txt", "".join(f"{line}\n" for line in refused))
    more = f"\nand {len(refused) - NAMED} more, all in {folder / 'refused.txt'}" if len(refused) > NAMED else ""
    return BadManifest(
        f"{len(refused)} of {total} images cannot be used; index the data set again, or repair them:\n"
        + "\n".join(refused[:NAMED])
        + more
    )


def _load(path: Path, sha256: str | None, viewer: Viewer) -> NDArray[np.uint8]:
    data = read_bounded(path, limit=Limits().upload_bytes)
    if sha256 and sha256_bytes(data) != sha256:
        raise BadManifest("the file has changed since it was indexed")
    view = viewer.view(decode(data))
    if view.raw is None:
        return view.pixels
    return view.raw if view.lungs is not None and view.lungs.plausible else np.zeros_like(view.raw)


def _identities(manifest: Manifest) -> list[list[str | None]]:
    table = manifest.table
    hashes = table["sha256"] if "sha256" in table else [None] * len(table)
    return [
        [image, digest if isinstance(digest, str) else None]
        for image, digest in zip(table["image"], hashes, strict=True)
    ]


def _same(path: Path, facts: Mapping[str, object], pixels: Path) -> bool:
    """Say whether the cache holds the images of `facts`, unchanged since it was written."""
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        digest = stored.pop("sha256")
        return bool(stored == facts and digest == sha256_file(pixels))
    except (OSError, ValueError, AttributeError, KeyError):
        return False
