"""Split a manifest into train, val, calibration and test, into folds, or by source.

Splits are stratified by class, grouped by patient and duplicate group, and the same for the same images and seed
whatever their order. Training runs `check_split`, which refuses a patient or group in two parts.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from covid_xray.data.manifest.file_checks import CONTENT
from covid_xray.data.manifest.manifest import Manifest
from covid_xray.data.manifest.tables import read_table
from covid_xray.data.split.groups import groups
from covid_xray.data.split.stratify import assign_folds, assign_parts
from covid_xray.errors import BadSplit
from covid_xray.files import replacing

PARTS = ("train", "val", "calibration", "test")


def make_split(
    manifest: Manifest,
    *,
    val_fraction: float = 0.15,
    test_fraction: float = 0.15,
    calibration_fraction: float = 0.0,
    seed: int = 0,
    allow_overlap: bool = False,
) -> pd.Series:
    """Assign each image (index `image`) to train, val, calibration or test; fractions are of all images.

    Parts in the column `split` are kept, and only missing parts are made, val and calibration out of train. With
    `allow_overlap`, given parts that overlap are kept, and `result.attrs["overlaps"]` describes the overlaps.

    Raises:
        BadSplit: a class with fewer groups than parts, given parts that share a patient or radiograph, or a part
            without a class.
    """
    table = manifest.table.sort_values("image")
    members = groups(manifest).loc[table["image"]].to_numpy()
    labels = table["label"].to_numpy()
    given = table["split"].to_numpy(dtype=object) if "split" in table else np.full(len(table), "", dtype=object)
    part = _fill_groups(given, members)
    fractions = {"test": test_fraction, "calibration": calibration_fraction, "val": val_fraction}
    _check_fractions(fractions)
    pool = np.isin(part, ["", "train"])
    shares = {
        name: min(0.9, fraction * len(part) / pool.sum())
        for name, fraction in fractions.items()
        # A test part is never cut from images that were given as train.
        if fraction and not (part == name).any() and not (name == "test" and (given != "").any())
    }
    part[pool] = assign_parts(labels[pool], members[pool], shares=shares, seed=seed)
    result = pd.Series(part, index=pd.Index(table["image"], name="image"), name="split", dtype=str)
    result = result.loc[manifest.table["image"]]
    found = overlaps(manifest, result)
    if found and not allow_overlap:
        raise BadSplit(found[0])
    check_split(manifest, result, allow_overlap=allow_overlap)
    result.attrs["overlaps"] = found
    return result


def make_folds(manifest: Manifest, *, folds: int, seed: int = 0) -> pd.Series:
    """Assign each image (index `image`) to a fold 0..folds-1. Raises `BadSplit` for a class with fewer groups."""
    if folds < 2:
        raise BadSplit(f"Too few folds: {folds}. At least 2 are needed.")
    table = manifest.table.sort_values("image")
    members = groups(manifest).loc[table["image"]].to_numpy()
    values = assign_folds(table["label"].to_numpy(), members, folds=folds, seed=seed)
    result = pd.Series(values, index=pd.Index(table["image"], name="image"), name="fold")
    return result.loc[manifest.table["image"]]


def leave_one_source_out(manifest: Manifest) -> Iterator[tuple[str, pd.Series]]:
    """Yield each source's name and a split with that source as `test` and the others as `train`.

    Images of other sources that share a patient or radiograph with it are left out. Raises `BadSplit` with fewer than
    two sources.
    """
    table = manifest.table.set_index("image")
    sources = sorted(set(table["source"]) - {""}) if "source" in table else []
    if len(sources) < 2:
        raise BadSplit(f"Too few sources: {', '.join(sources) or 'none'}. At least 2 are needed in a column source.")
    member = groups(manifest).loc[table.index]
    for source in sources:
        held = table["source"] == source
        shared = member.isin(set(member[held])) & ~held
        kept = table.index[~shared]
        yield source, pd.Series(np.where(held[~shared], "test", "train"), index=kept, name="split", dtype=str)


def check_split(manifest: Manifest, split: pd.Series, *, allow_overlap: bool = False) -> None:
    """Raise `BadSplit` unless the split is valid.

    Every image of the manifest, and no other, has one known part; no patient and no group is in two parts (unless
    `allow_overlap`); no part lacks a class.
    """
    _check_images(manifest, split)
    found = overlaps(manifest, split)
    if found and not allow_overlap:
        raise BadSplit(found[0])
    table = manifest.table
    for name in [part for part in PARTS if (split == part).any()]:
        absent = sorted(set(table["label"]) - set(table["label"][table["image"].map(split) == name]))
        if absent:
            raise BadSplit(f"The part {name} has no image of class {absent[0]}. Make another split, or add images.")


def overlaps(manifest: Manifest, split: pd.Series) -> list[str]:
    """Describe each way in which two parts share patients, files, pictures or radiographs, one sentence each."""
    table = manifest.table.assign(part=manifest.table["image"].map(split))
    sentences = [_shared(table, column) for column in ("patient_id", "sha256", "pixels_sha256", "group")]
    chained = _shared(table.assign(linked=groups(manifest).to_numpy()), "linked")
    found = [sentence for sentence in sentences if sentence]
    return found or ([chained] if chained else [])


def read_split(path: Path) -> pd.Series:
    """Read the parts (or folds) written by `write_split`: index `image`, text values. Raises `BadSplit`."""
    table = read_table(path, required=("image", "split"))
    twice = table["image"][table["image"].duplicated()]
    if len(twice):
        raise BadSplit(f"{path.name} lists {twice.iloc[0]} twice. Remove one of the rows.")
    return table.set_index("image")["split"]


def write_split(path: Path, split: pd.Series, manifest: Manifest) -> None:
    """Write image, label, patient_id, group (of `groups`), split and what the images are (`CONTENT`), atomically."""
    table = manifest.table.set_index("image").loc[split.index]
    columns = {
        "label": table["label"],
        "patient_id": table.get("patient_id", ""),
        "group": groups(manifest).loc[split.index],
        "split": split,
        **{name: table[name] for name in CONTENT if name in table},
    }
    with replacing(path) as temporary:
        pd.DataFrame(columns, index=split.index).rename_axis("image").to_csv(temporary)


def _fill_groups(part: np.ndarray, members: np.ndarray) -> np.ndarray:
    """Give images without a part the part of their group, where that has one."""
    known = {group: name for group, name in zip(members, part, strict=True) if name}
    return np.array([name or known.get(group, "") for group, name in zip(members, part, strict=True)], dtype=object)


def _check_fractions(fractions: dict[str, float]) -> None:
    if any(not 0 <= fraction < 1 for fraction in fractions.values()) or sum(fractions.values()) >= 1:
        stated = ", ".join(f"{name}={fraction:g}" for name, fraction in fractions.items())
        raise BadSplit(f"These fractions leave nothing to train on: {stated}. Give values in 0..1 with a sum below 1.")


def _check_images(manifest: Manifest, split: pd.Series) -> None:
    images, named = set(manifest.table["image"]), set(split.index)
    if images - named:
        raise BadSplit(f"The split has no part for {min(images - named)}.")
    if named - images:
        raise BadSplit(f"The split names {min(named - images)}, which is not in the manifest.")
    if split.index.has_duplicates:
        raise BadSplit("The split has an image twice.")
    unknown = sorted(set(split) - set(PARTS))
    if unknown:
        raise BadSplit(f"Unknown part {unknown[0]!r}. Accepted: {', '.join(PARTS)}.")


def _shared(table: pd.DataFrame, column: str) -> str:
    if column not in table:
        return ""
    known = table[(table[column] != "") & table["part"].notna()]
    sides = known.groupby(column)["part"].nunique()
    bad = sides[sides > 1].index
    if not len(bad):
        return ""
    rows = known[known[column] == bad[0]].drop_duplicates("part")
    kinds = {"patient_id": "patients", "group": "duplicate groups", "linked": "chains of patients and copies"}
    example = " and ".join(f"{row.image} ({row.part})" for row in rows.head(2).itertuples())
    return f"{len(bad)} {kinds.get(column, 'identical images')} are in two parts of the split, for example {example}."
