"""Combine manifests of several sources into one."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from covid_xray.data.manifest.manifest import Manifest
from covid_xray.errors import BadManifest


def combine(manifests: Sequence[Manifest]) -> Manifest:
    """Combine manifests into one whose image names are relative to their common folder.

    Args:
        manifests: at least one. One without a column `source` gets the name of its folder as source; missing columns
            are filled with "". A file in two manifests is kept once.

    Raises:
        BadManifest: a file is in two manifests with different labels.
    """
    if len(manifests) == 1:
        return manifests[0]
    roots = [manifest.root.resolve() for manifest in manifests]
    root = Path(os.path.commonpath(roots))
    tables, refused = [], []
    for manifest, folder in zip(manifests, roots, strict=True):
        table, quarantine = manifest.table, manifest.quarantine
        table = table.assign(image=_prefix(table["image"], folder, root))
        tables.append(table if "source" in table else table.assign(source=folder.name))
        refused.append(quarantine.assign(image=_prefix(quarantine["image"], folder, root)))
    columns = list(dict.fromkeys(name for table in tables for name in table))
    table = pd.concat([part.reindex(columns=columns, fill_value="") for part in tables], ignore_index=True)
    notes = tuple(dict.fromkeys(note for manifest in manifests for note in manifest.notes))
    combined = Manifest(_drop_repeated(table), root, pd.concat(refused, ignore_index=True), notes)
    repeated = len(table) - len(combined.table)
    note = f"{repeated:,} files are in two manifests with the same label; each is kept once"
    return replace(combined, notes=(*notes, note)) if repeated else combined


def _prefix(images: pd.Series, folder: Path, root: Path) -> pd.Series:
    prefix = folder.relative_to(root).as_posix()
    return images if prefix == "." else f"{prefix}/" + images


def _drop_repeated(table: pd.DataFrame) -> pd.DataFrame:
    labels = table.groupby("image")["label"].nunique()
    if (labels > 1).any():
        image = labels.index[labels > 1][0]
        found = " and ".join(table.loc[table["image"] == image, "label"].unique()[:2])
        raise BadManifest(f"{image} is labelled {found} in two manifests. Remove one of its rows.")
    return table.drop_duplicates("image").reset_index(drop=True)
