"""Group images that must stay in one part of a split: those of one patient, file, picture or radiograph."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from covid_xray.data.manifest.manifest import Manifest
from covid_xray.errors import BadManifest

COPIES = ("sha256", "pixels_sha256", "group")  # equal: the same file, picture, or radiograph
JOINING = ("patient_id", *COPIES)


def groups(manifest: Manifest, *, by: Sequence[str] = JOINING) -> pd.Series:
    """Assign each image to a group: index `image`, values `g0001` ... in the order of the smallest image name.

    Groups are the connected components over equal patient_id, sha256, pixels_sha256 and (duplicate) group. An unknown
    patient is a patient of its own. `by=COPIES` gives the distinct radiographs instead.
    """
    table = manifest.table.sort_values("image")
    links: list[tuple[int, int]] = []
    for column in by:
        if column in table:
            first: dict[str, int] = {}
            links += [(i, first.setdefault(value, i)) for i, value in enumerate(table[column]) if value]
    number = components(len(table), links)
    width = max(4, len(str(len(table))))
    names = [f"g{n + 1:0{width}d}" for n in number]
    group = pd.Series(names, index=pd.Index(table["image"], name="image"), name="group", dtype=str)
    return group.loc[manifest.table["image"]]


def components(size: int, links: Sequence[tuple[int, int]]) -> NDArray[np.int64]:
    """Return the connected component of each of `size` nodes, numbered in the order of their first node."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    ends = np.array(links, np.int64).reshape(-1, 2)
    graph = coo_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(size, size))
    label = connected_components(graph, directed=False)[1]
    _, first, inverse = np.unique(label, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse]


def with_duplicates(manifest: Manifest, duplicates: pd.DataFrame) -> Manifest:
    """Add the column `group` from a table of duplicates (columns group, image); images not in the manifest are ignored.

    Raises:
        BadManifest: a column is missing, or one image is in two groups.
    """
    if not {"group", "image"} <= set(duplicates.columns):
        columns = ", ".join(map(str, duplicates.columns[:8]))
        raise BadManifest(f"The table of duplicates needs the columns group and image. It has {columns}.")
    pairs = duplicates[["image", "group"]].astype(str).drop_duplicates()
    twice = pairs["image"][pairs["image"].duplicated()]
    if len(twice):
        raise BadManifest(f"The table of duplicates has {twice.iloc[0]} in two groups. Remove one of them.")
    group_of = dict(zip(pairs["image"], pairs["group"], strict=True))
    found = [group_of.get(image, "") for image in manifest.table["image"]]
    count = sum(map(bool, found))
    note = f"{count:,} images are in groups of copies; the table of duplicates names {len(pairs):,}"
    column = pd.Series(found, index=manifest.table.index, dtype=str)
    return replace(manifest, table=manifest.table.assign(group=column), notes=(*manifest.notes, note))
