"""List what copies reveal: radiographs shared by sources, contradictory labels, and patients with two ids.

A radiograph is a connected component over file, pixels and duplicate group; a person is one over patient ids too.
"""

from itertools import combinations_with_replacement

import pandas as pd

from covid_xray.data.manifest.manifest import Manifest
from covid_xray.data.split.groups import COPIES, groups


def radiographs(manifest: Manifest) -> pd.Series:
    """Assign each image (index `image`) to its radiograph."""
    return groups(manifest, by=COPIES)


def shared_pairs(manifest: Manifest) -> pd.DataFrame:
    """Count pairs of images of one radiograph, source x source (symmetric). Needs the column `source`."""
    counts = pd.crosstab(radiographs(manifest).to_numpy(), manifest.table["source"].to_numpy())
    table = pd.DataFrame(0, index=counts.columns, columns=counts.columns)
    for a, b in combinations_with_replacement(counts.columns, 2):
        pairs = (counts[a] * (counts[a] - 1) // 2).sum() if a == b else (counts[a] * counts[b]).sum()
        table.loc[a, b] = table.loc[b, a] = int(pairs)
    return table.rename_axis(index="source", columns=None)


def contradictions(manifest: Manifest) -> pd.DataFrame:
    """List radiographs with two labels: columns radiograph, labels, images (both joined by " | ")."""
    return _list_differing(manifest, "label", named="labels")


def double_patients(manifest: Manifest) -> pd.DataFrame:
    """List radiographs with two patient ids: columns radiograph, patients, images (both joined by " | ")."""
    return _list_differing(manifest, "patient_id", named="patients")


def patients_in_two_classes(manifest: Manifest) -> pd.DataFrame:
    """List patients with two labels: columns patient_id, labels, images (a number)."""
    if "patient_id" not in manifest.table:
        return pd.DataFrame(columns=["patient_id", "labels", "images"])
    known = manifest.table[manifest.table["patient_id"] != ""]
    rows = [
        (name, " | ".join(sorted(set(group["label"]))), len(group))
        for name, group in known.groupby("patient_id")
        if group["label"].nunique() > 1
    ]
    return pd.DataFrame(rows, columns=["patient_id", "labels", "images"])


def distinct(manifest: Manifest) -> tuple[int, int, int]:
    """Count images, distinct radiographs, and people at most (an image of an unknown patient counts as one)."""
    return len(manifest.table), int(radiographs(manifest).nunique()), int(groups(manifest).nunique())


def _list_differing(manifest: Manifest, column: str, *, named: str) -> pd.DataFrame:
    """List radiographs whose copies differ in `column`: radiograph, the values (as `named`), images."""
    if column not in manifest.table:
        return pd.DataFrame(columns=["radiograph", named, "images"], dtype=str)
    table = manifest.table.assign(radiograph=radiographs(manifest).to_numpy())
    known = table[table[column] != ""]
    differ = known.groupby("radiograph")[column].transform("nunique") > 1
    rows = [
        (name, " | ".join(sorted(set(group[column]))), " | ".join(sorted(group["image"])))
        for name, group in known[differ].groupby("radiograph")
    ]
    return pd.DataFrame(rows, columns=["radiograph", named, "images"], dtype=str)
