"""Several manifests in, one out: for a set that is put together from several sources."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from covid_xray.data.manifest.manifest import Manifest
from covid_xray.errors import BadManifest


def combine(manifests: Sequence[Manifest]) -> Manifest:
    """One manifest with the rows and the quarantine of all; images are named from the folder that holds them all.

    Args:
        manifests: at least one. One without a column `source` gets the name of its image folder as the source, because
            which rows came from where must not be forgotten. Columns that one lacks are "" in its rows.

    Raises:
        BadManifest: one file is in two manifests with different labels (with equal labels it is kept once).
    """
    if len(manifests) == 1:
        return manifests[0]
    roots = [manifest.root.resolve() for manifest in manifests]
    root = Path(os.path.commonpath(roots))
    tables = [_moved(m, folder, root) for m, folder in zip(manifests, roots, strict=True)]
    refused = [
        m.quarantine.assign(image=_prefixed(m.quarantine["image"], folder, root))
        for m, folder in zip(manifests, roots, strict=True)
    ]
    columns = list(dict.fromkeys(name for table in tables for name in table))
    table = pd.concat([part.reindex(columns=columns, fill_value="") for part in tables], ignore_index=True)
    notes = tuple(dict.fromkeys(note for manifest in manifests for note in manifest.notes))
    together = Manifest(_once(table), root, pd.concat(refused, ignore_index=True), notes)
    again = len(table) - len(together.table)
    note = f"{again:,} files were in two of the manifests and agreed; each is kept once"
    return replace(together, notes=(*notes, note)) if again else together


def _moved(manifest: Manifest, folder: Path, root: Path) -> pd.DataFrame:
    table = manifest.table.assign(image=_prefixed(manifest.table["image"], folder, root))
    if "source" not in table:
        table["source"] = folder.name
    return table


def _prefixed(images: pd.Series, folder: Path, root: Path) -> pd.Series:
    prefix = folder.relative_to(root).as_posix()
    return images if prefix == "." else f"{prefix}/" + images


def _once(table: pd.DataFrame) -> pd.DataFrame:
    labels = table.groupby("image")["label"].nunique()
    if (labels > 1).any():
        image = labels.index[labels > 1][0]
        found = " and ".join(table.loc[table["image"] == image, "label"].unique()[:2])
        raise BadManifest(f"expected one label for each file. Received: {image} as {found}")
    return table.drop_duplicates("image").reset_index(drop=True)
