"""Read a folder or CSV into a checked table with one row per image, and a quarantine of what was refused.

Every cell is text, "" where unknown; `image` is the key. found = indexed + quarantined, always.
"""

import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from covid_xray.config import Limits
from covid_xray.data.manifest.columns import COLUMNS, rename_labels
from covid_xray.data.manifest.file_checks import CHECKED, check_files
from covid_xray.data.manifest.losses import refuse_vanished
from covid_xray.data.manifest.readers import Refusal, Rows, read_rows
from covid_xray.errors import BadManifest, UsageError
from covid_xray.files import replacing, sha256_bytes, sha256_file


@dataclass(frozen=True, eq=False)
class Manifest:
    """Images of a data set and refused files.

    Args:
        table: one row per image; text columns `image` (relative posix path, unique) and `label`, then where known
            patient_id, source, view, age, sex, license, split (train, val, calibration, test or ""), sha256,
            pixels_sha256, fingerprint, file_* (facts of the file), group, and further columns as they were.
        root: the file of an image is `root / image`.
        quarantine: columns image, code, reason.
        notes: remarks for people: repeated rows, unknown columns.
    """

    table: pd.DataFrame
    root: Path
    quarantine: pd.DataFrame
    notes: tuple[str, ...] = ()

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels in code-point order, whatever the order of files and rows."""
        return tuple(sorted(set(self.table["label"])))

    @property
    def found(self) -> int:
        """Number of images found: indexed + quarantined."""
        return len(self.table) + len(self.quarantine)

    def path(self, image: str) -> Path:
        """Return the path of the file of `image`."""
        return self.root / image

    def take(self, rows: Any) -> "Manifest":
        """Select rows by a mask, or by image names in their order."""
        values = list(rows)
        if len(values) == len(self.table) and all(str(type(v).__name__).startswith("bool") for v in values):
            table = self.table[pd.Series(values, index=self.table.index, dtype=bool)]
        else:
            indexed = self.table.set_index("image", drop=False)
            unknown = [image for image in values if image not in indexed.index]
            if unknown:
                raise BadManifest(f"The manifest has no image {unknown[0]}.")
            table = indexed.loc[values]
        return replace(self, table=table.reset_index(drop=True))


def read_manifest(
    data: Path | str | pd.DataFrame,
    *,
    images: Path | None = None,
    columns: Mapping[str, str] | None = None,
    rename: Mapping[str, str] | None = None,
    needed: Collection[str] | None = None,
    check: bool = True,
    limits: Limits | None = None,
    classes: Sequence[str] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Manifest:
    """Read a folder of class folders, or a CSV, into a manifest; docs/reference/manifest.md lists the layouts.

    Args:
        data: `root/{train,val,test}/{class}/`, `root/{class}/`, a folder with manifest.csv, metadata.csv or
            train.csv, a CSV, Parquet, JSON-lines or Excel table, or a pandas DataFrame, with image and label.
        images: folder of a table's images; default: the table's folder (of a DataFrame: the working folder).
        columns: manifest column to column of the table, such as `{"image": "path", "label": "Diagnosis"}`.
        rename: old label to new label, such as `{"Viral Pneumonia": "virus"}`; others stay.
        needed: labels that must have a usable image; default: every label found.
        check: decode every file once, quarantine what fails, and fill sha256, pixels_sha256, fingerprint, file_*.
        limits: limits for one file.
        classes: quarantine every other label.
        progress: called with (files done, number of files) while checking.

    Raises:
        BadManifest: no images, a class without a usable image (code `class-vanished`), or a table that contradicts
            itself or names files outside its folder.
        UsageError: `columns` or `rename` name what is not there.
    """
    frame = isinstance(data, pd.DataFrame)
    rows = read_rows(data if isinstance(data, pd.DataFrame) else Path(data), images=images, columns=columns)
    if rename:
        lost = {image: rename.get(label, label) for image, label in rows.lost.items()}
        rows = replace(rows, table=rows.table.assign(label=rename_labels(rows.table["label"], rename)), lost=lost)
    name = "the DataFrame" if frame else str(data)
    manifest = manifest_of(rows, name=name, check=check, limits=limits, classes=classes, progress=progress)
    labels = dict(zip(rows.table["image"], rows.table["label"], strict=True)) | dict(rows.lost)
    wanted = needed if needed is not None else classes
    labels = {image: label for image, label in labels.items() if wanted is None or label in wanted}
    refuse_vanished(labels, manifest.table, manifest.quarantine)
    return manifest


def manifest_of(
    rows: Rows,
    *,
    name: str,
    check: bool = True,
    limits: Limits | None = None,
    classes: Sequence[str] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Manifest:
    """Make a manifest of the rows of a reader or importer; arguments and errors as for `read_manifest`."""
    table, refused = rows.table, list(rows.refused)
    if classes is not None:
        known = table["label"].isin(list(classes))
        reason = f"Unknown label. Accepted: {', '.join(classes)}. The label is"
        unknown = table[~known].itertuples(index=False)
        refused += [Refusal(str(row.image), "unknown-label", f"{reason} {row.label}.") for row in unknown]
        table = table[known]
    if check:
        table, undecodable = check_files(table, rows.root, limits=limits or Limits(), progress=progress)
        refused += undecodable
    if table.empty:
        example = f", for example {refused[0].image}: {refused[0].code}" if refused else ""
        raise BadManifest(f"No usable images in {name}: {len(refused)} were refused{example}.")
    return Manifest(_order_columns(table), rows.root, quarantine_table(refused), (*rows.notes, *_remarks(table)))


def quarantine_table(refused: Iterable[Refusal]) -> pd.DataFrame:
    """Convert refusals to a table with the columns image, code, reason."""
    return pd.DataFrame(list(refused), columns=["image", "code", "reason"], dtype=str)


def require_classes(manifest: Manifest, *, at_least: int = 2) -> None:
    """Raise `BadManifest` when the manifest has fewer than `at_least` classes."""
    if len(manifest.classes) < at_least:
        found = ", ".join(manifest.classes) or "none"
        raise BadManifest(f"Too few classes: {found}. At least {at_least} are needed.")


def select(
    manifest: Manifest,
    *,
    labels: Mapping[str, str] | Sequence[str] | None = None,
    sources: Sequence[str] | None = None,
    where: Sequence[str] = (),
) -> Manifest:
    """Select the rows that pass every filter; the quarantine stays unchanged.

    Args:
        labels: labels to keep, or old label to new label. `source:label` means that label of one source only:
            `{"ieee8023:covid": "covid", "kermany:virus": "virus"}`.
        sources: sources to keep.
        where: `column=value`, `column=one,another`, `column!=value`; all must hold.

    Raises:
        UsageError: a malformed filter, or an unknown column, label or source.
        BadManifest: no image is left.
    """
    table = manifest.table
    for clause in (*where, *([f"source={','.join(sources)}"] if sources else ())):
        table = table[_matches(table, clause, everything=manifest.table)]
    if labels is not None:
        mapping = dict(labels) if isinstance(labels, Mapping) else {name: name.split(":")[-1] for name in labels}
        table = _relabel(table, mapping, everything=manifest.table)
    if table.empty:
        raise BadManifest("The filters leave no image. Remove one of them.")
    return replace(manifest, table=table.reset_index(drop=True))


def write_manifest(manifest: Manifest, path: Path) -> None:
    """Write the table as CSV, atomically; a column `root` gives the images' folder unless it is the CSV's own."""
    table = manifest.table
    root, folder = manifest.root.resolve(), path.parent.resolve()
    if root != folder:
        table = table.assign(root=Path(os.path.relpath(root, folder)).as_posix())
    with replacing(path) as temporary:
        table.to_csv(temporary, index=False)


def write_quarantine(manifest: Manifest, path: Path) -> None:
    """Write image, code and reason of every refused image as CSV, atomically."""
    with replacing(path) as temporary:
        manifest.quarantine.to_csv(temporary, index=False)


def fingerprint(manifest: Manifest) -> str:
    """Identify a training set by SHA-256 over the sorted pairs (sha256 of the file, label), 64 hex digits."""
    table = manifest.table
    if "sha256" in table and (table["sha256"] != "").all():
        hashes = table["sha256"].tolist()
    else:
        hashes = [sha256_file(manifest.path(image)) for image in table["image"]]
    pairs = sorted(zip(hashes, table["label"], strict=True))
    return sha256_bytes("".join(f"{digest} {label}\n" for digest, label in pairs).encode())


def _order_columns(table: pd.DataFrame) -> pd.DataFrame:
    first = [name for name in COLUMNS if name in table]
    last = [name for name in CHECKED if name in table]
    middle = [name for name in table.columns if name not in first and name not in last]
    return table[[*first, *middle, *last]].reset_index(drop=True)


def _remarks(table: pd.DataFrame) -> list[str]:
    unknown = [name for name in table.columns if name not in COLUMNS and name not in CHECKED]
    notes = [f"columns kept as they are: {', '.join(unknown)}"] if unknown else []
    folded: dict[str, set[str]] = {}
    for label in table["label"].unique():
        folded.setdefault(label.casefold(), set()).add(label)
    notes += [f"labels that differ only in case: {', '.join(sorted(s))}" for s in folded.values() if len(s) > 1]
    return notes


def _matches(table: pd.DataFrame, clause: str, *, everything: pd.DataFrame) -> pd.Series:
    column, equals, values = clause.partition("=")
    negated = column.endswith("!")
    column = column.removesuffix("!").strip().lower()
    if not equals or not column:
        raise UsageError(f"Malformed filter {clause!r}. Write column=value.")
    if column not in everything:
        raise UsageError(f"Unknown column {column!r}. Choose one of {', '.join(everything.columns)}.")
    accepted = [value.strip() for value in values.split(",")]
    absent = sorted(set(accepted) - set(everything[column]) - {""})
    if absent and not negated:
        raise UsageError(f"No row has {column}={absent[0]}.")
    return table[column].isin(accepted) != negated


def _relabel(table: pd.DataFrame, mapping: Mapping[str, str], *, everything: pd.DataFrame) -> pd.DataFrame:
    def keys(rows: pd.DataFrame) -> pd.Series:
        return rows["source"] + ":" + rows["label"] if "source" in rows else rows["label"]

    absent = [name for name in mapping if name not in set(keys(everything)) | set(everything["label"])]
    if absent:
        raise UsageError(f"No image has the label {absent[0]!r}.")
    target = keys(table).map(mapping).fillna(table["label"].map(mapping))
    return table.assign(label=target)[target.notna()]


def counts(manifest: Manifest, *, by: str = "") -> pd.DataFrame:
    """Count images per label (rows), in one column `images` or per value of the column `by` with a column `all`."""
    if by and by in manifest.table:
        values = manifest.table[by].replace("", "(none)")
        table = pd.crosstab(manifest.table["label"], values)
        return table.assign(all=table.sum(axis=1))
    return manifest.table.groupby("label").size().to_frame("images")


def reasons(manifest: Manifest) -> pd.DataFrame:
    """Count refused images per code: columns code, images, reason (of the first one), example."""
    grouped = manifest.quarantine.groupby("code", sort=True)
    return pd.DataFrame(
        [(code, len(rows), rows["reason"].iloc[0], rows["image"].iloc[0]) for code, rows in grouped],
        columns=["code", "images", "reason", "example"],
    )


def summary(manifest: Manifest) -> str:
    """Summarise in plain text: files found, images per class (and split, source), reasons of refusals, notes."""
    lines = [f"found {manifest.found:,} = {len(manifest.table):,} indexed + {len(manifest.quarantine):,} quarantined"]
    by = next((name for name in ("split", "source") if name in manifest.table), "")
    for name in ("split", "source") if by else ("",):
        if not name or name in manifest.table:
            lines += ["", *counts(manifest, by=name).rename_axis(None).to_string().splitlines()]
    if len(manifest.quarantine):
        lines.append("")
    for row in reasons(manifest).itertuples(index=False):
        lines.append(f"quarantined {row.images:,} {row.code}: {row.reason} ({row.example})")
    return "\n".join([*lines, *manifest.notes])
