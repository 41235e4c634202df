"""Images that must stay on one side of a split: one patient, one file, one picture, or one radiograph."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from covid_xray.data.manifest.manifest import Manifest
from covid_xray.errors import BadManifest

COPIES = ("sha256", "pixels_sha256", "group")  # equal: the same file, picture, or radiograph
JOINING = ("patient_id", *COPIES)


def groups(manifest: Manifest, *, by: Sequence[str] = JOINING) -> pd.Series:
    """Group of each image: index `image`, values `g0001` ... in the order of the smallest image name.

    Two images are in one group when a chain of equal patient_id, sha256, pixels_sha256 or (duplicate) group leads
    from one to the other: connected components. An image of an unknown patient is a patient of its own. `by=COPIES`
    gives the distinct radiographs instead.
    """
    images = manifest.table["image"].tolist()
    parent = np.arange(len(images))
    for column in by:
        if column in manifest.table:
            _join(parent, manifest.table[column].tolist())
    roots = np.array([_find(parent, i) for i in range(len(images))], dtype=int)
    return pd.Series(_named(images, roots), index=pd.Index(images, name="image"), name="group", dtype=str)


def with_duplicates(manifest: Manifest, duplicates: pd.DataFrame) -> Manifest:
    """The manifest with the column `group` from a table of duplicates (columns group, image; others are ignored).

    Rows of images that the manifest does not have are left out, so that one table serves every selection; a note
    says how many were found.

    Raises:
        BadManifest: the columns are not there, or one image is in two groups.
    """
    if not {"group", "image"} <= set(duplicates.columns):
        received = ", ".join(map(str, duplicates.columns[:8]))
        raise BadManifest(f"expected duplicates with the columns group and image. Received: {received}")
    pairs = duplicates[["image", "group"]].astype(str).drop_duplicates()
    twice = pairs["image"][pairs["image"].duplicated()]
    if len(twice):
        raise BadManifest(f"expected each image in one group of duplicates. Received: {twice.iloc[0]} in two")
    group_of = dict(zip(pairs["image"], pairs["group"], strict=True))
    found = [group_of.get(image, "") for image in manifest.table["image"]]
    count = sum(map(bool, found))
    note = f"{count:,} images are in groups of copies; the table of duplicates names {len(pairs):,}"
    column = pd.Series(found, index=manifest.table.index, dtype=str)
    return replace(manifest, table=manifest.table.assign(group=column), notes=(*manifest.notes, note))


def _find(parent: np.ndarray, i: int) -> int:
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = int(parent[i])
    return i


def _join(parent: np.ndarray, values: list[str]) -> None:
    first: dict[str, int] = {}
    for i, value in enumerate(values):
        if value:
            parent[_find(parent, i)] = _find(parent, first.setdefault(value, i))


def _named(images: list[str], roots: np.ndarray) -> list[str]:
    width = max(4, len(str(len(images))))
    names: dict[int, str] = {}
    for i in sorted(range(len(images)), key=images.__getitem__):
        names.setdefault(int(roots[i]), f"g{len(names) + 1:0{width}d}")
    return [names[int(root)] for root in roots]
