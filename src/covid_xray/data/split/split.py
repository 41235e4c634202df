"""A manifest in, a part for each image out: train, val, test, calibration; folds; one source left out.

Stratified by class, grouped by patient and duplicate group, the same for the same images and seed whatever
their order. `check_split` is the guard that training runs: no patient and no group on two sides.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from covid_xray.data.manifest.manifest import Manifest
from covid_xray.data.manifest.tables import read_table
from covid_xray.data.split.groups import groups, with_duplicates
from covid_xray.data.split.stratify import assign_folds, draw
from covid_xray.errors import BadSplit
from covid_xray.files import replacing

PARTS = ("train", "val", "calibration", "test")

__all__ = [
    "PARTS", "check_split", "groups", "leave_one_source_out", "make_folds", "make_split", "overlaps", "read_split",
    "with_duplicates", "write_split",
]  # fmt: skip


def make_split(
    manifest: Manifest,
    *,
    val_fraction: float = 0.15,
    test_fraction: float = 0.15,
    calibration_fraction: float = 0.0,
    seed: int = 0,
    allow_overlap: bool = False,
) -> pd.Series:
    """Part of each image: index `image`, values train, val, calibration or test; fractions are of all images.

    Images whose part is given (split folders, a `split` column) keep it; only parts that are missing are made, val
    and calibration out of train. With `allow_overlap`, parts given with an overlap are kept as they are, and the
    overlap is recorded in `result.attrs["overlaps"]` (one sentence for each kind), to be shown.

    Raises:
        BadSplit: a class with fewer groups than parts, given parts that share a patient or radiograph, or a class
            that would vanish from a part.
    """
    table = manifest.table.sort_values("image")
    members = groups(manifest).loc[table["image"]].to_numpy()
    labels = table["label"].to_numpy()
    given = table["split"].to_numpy(dtype=object) if "split" in table else np.full(len(table), "", dtype=object)
    part = _fill_groups(given, members)
    wanted = {"test": test_fraction, "calibration": calibration_fraction, "val": val_fraction}
    _check_fractions(wanted)
    # A test part is never cut from images that somebody gave as train.
    to_make = [
        name
        for name, fraction in wanted.items()
        if fraction and not (part == name).any() and not (name == "test" and (given != "").any())
    ]
    pool = np.isin(part, ["", "train"])
    shares = {name: min(0.9, wanted[name] * len(part) / pool.sum()) for name in to_make}
    part[pool] = draw(labels[pool], members[pool], shares=shares, seed=seed)
    result = pd.Series(part, index=pd.Index(table["image"], name="image"), name="split", dtype=str)
    result = result.loc[manifest.table["image"]]
    found = overlaps(manifest, result)
    if found and not allow_overlap:
        raise BadSplit(found[0])
    check_split(manifest, result, allow_overlap=allow_overlap)
    result.attrs["overlaps"] = found
    return result


def make_folds(manifest: Manifest, *, folds: int, seed: int = 0) -> pd.Series:
    """Fold 0..folds-1 of each image: index `image`, int values. Raises `BadSplit` for a class with fewer groups."""
    if folds < 2:
        raise BadSplit(f"expected at least 2 folds. Received: folds={folds}")
    table = manifest.table.sort_values("image")
    members = groups(manifest).loc[table["image"]].to_numpy()
    values = assign_folds(table["label"].to_numpy(), members, folds=folds, seed=seed)
    result = pd.Series(values, index=pd.Index(table["image"], name="image"), name="fold")
    return result.loc[manifest.table["image"]]


def leave_one_source_out(manifest: Manifest) -> Iterator[tuple[str, pd.Series]]:
    """For each source in turn, its name and a split with that source as `test` and the others as `train`.

    Images of other sources that share a patient or radiograph with the source are in neither: they are left out of
    the series, so training on the rest never sees the source. Raises `BadSplit` with fewer than two sources.
    """
    table = manifest.table.set_index("image")
    sources = sorted(set(table["source"]) - {""}) if "source" in table else []
    if len(sources) < 2:
        raise BadSplit(f"expected a column source with at least 2 sources. Received: {', '.join(sources) or 'none'}")
    member = groups(manifest).loc[table.index]
    for source in sources:
        held = table["source"] == source
        shared = member.isin(set(member[held])) & ~held
        kept = table.index[~shared]
        yield source, pd.Series(np.where(held[~shared], "test", "train"), index=kept, name="split", dtype=str)


def check_split(manifest: Manifest, split: pd.Series, *, allow_overlap: bool = False) -> None:
    """Raise `BadSplit` with an example unless the split covers the manifest and separates it.

    Checked: every image has one part and no other image has; the parts are known; no patient and no group is on two
    sides (unless `allow_overlap`); no class is missing from a part.
    """
    _check_images(manifest, split)
    found = overlaps(manifest, split)
    if found and not allow_overlap:
        raise BadSplit(found[0])
    table = manifest.table
    for name in [part for part in PARTS if (split == part).any()]:
        absent = sorted(set(table["label"]) - set(table["label"][table["image"].map(split) == name]))
        if absent:
            raise BadSplit(f"expected every class in the part {name}. Received: no image of class {absent[0]}")


def overlaps(manifest: Manifest, split: pd.Series) -> list[str]:
    """One sentence for each way in which two parts share images' patients, files, pictures or radiographs."""
    table = manifest.table.assign(part=manifest.table["image"].map(split))
    sentences = [_shared(table, column) for column in ("patient_id", "sha256", "pixels_sha256", "group")]
    chained = _shared(table.assign(linked=groups(manifest).to_numpy()), "linked")
    found = [sentence for sentence in sentences if sentence]
    return found or ([chained] if chained else [])


def read_split(path: Path) -> pd.Series:
    """The parts (or folds) written by `write_split`: index `image`, values text; raises `BadSplit` when malformed."""
    table = read_table(path, required=("image", "split"))
    twice = table["image"][table["image"].duplicated()]
    if len(twice):
        raise BadSplit(f"expected each image once in {path.name}. Received: {twice.iloc[0]} twice")
    return table.set_index("image")["split"]


def write_split(path: Path, split: pd.Series, manifest: Manifest) -> None:
    """Write image, label, patient_id, group, split as CSV, atomically; `group` is the one that was kept together."""
    table = manifest.table.set_index("image").loc[split.index]
    columns = {
        "label": table["label"],
        "patient_id": table.get("patient_id", ""),
        "group": groups(manifest).loc[split.index],
        "split": split,
    }
    with replacing(path) as temporary:
        pd.DataFrame(columns, index=split.index).rename_axis("image").to_csv(temporary)


def _fill_groups(part: np.ndarray, members: np.ndarray) -> np.ndarray:
    """An image without a part follows the rest of its group, when that has one."""
    known = {group: name for group, name in zip(members, part, strict=True) if name}
    return np.array([name or known.get(group, "") for group, name in zip(members, part, strict=True)], dtype=object)


def _check_fractions(wanted: dict[str, float]) -> None:
    if any(not 0 <= fraction < 1 for fraction in wanted.values()) or sum(wanted.values()) >= 1:
        received = ", ".join(f"{name}={fraction:g}" for name, fraction in wanted.items())
        raise BadSplit(f"expected fractions in 0..1 that leave something to train on. Received: {received}")


def _check_images(manifest: Manifest, split: pd.Series) -> None:
    images, named = set(manifest.table["image"]), set(split.index)
    if images - named:
        raise BadSplit(f"expected a part for every image. Received: none for {min(images - named)}")
    if named - images:
        raise BadSplit(f"expected parts for images of the manifest only. Received: {min(named - images)}")
    if split.index.has_duplicates:
        raise BadSplit("expected one part for each image. Received: an image twice")
    unknown = sorted(set(split) - set(PARTS))
    if unknown:
        raise BadSplit(f"expected the parts {', '.join(PARTS)}. Received: {unknown[0]!r}")


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
    return (
        f"expected every patient and radiograph on one side. Received: {len(bad)} "
        f"{kinds.get(column, 'identical images')} on two, for example {example}"
    )
