"""A folder or CSV in, a table that one can trust out: one row for each image, what was refused beside it.

Every cell is text, "" where nothing is known; `image` is the key. found = indexed + quarantined, always.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from covid_xray.config import Limits
from covid_xray.data.manifest.file_checks import CHECKED, check_files
from covid_xray.data.manifest.readers import Refusal, Rows, read_rows
from covid_xray.errors import BadManifest, UsageError
from covid_xray.files import replacing, sha256_bytes, sha256_file

COLUMNS = ("image", "label", "patient_id", "source", "view", "age", "sex", "license", "split", "group")


@dataclass(frozen=True, eq=False)
class Manifest:
    """The images of a data set, and what was refused.

    Args:
        table: one row for each image; text columns `image` (relative posix path, unique) and `label`, then where known
            patient_id, source, view, age, sex, license, split (train, val, calibration, test or ""), sha256,
            pixels_sha256, file_* (facts of the file), group, and whatever else the table held.
        root: images are found at `root / image`.
        quarantine: columns image, code, reason.
        notes: remarks for people: repeated rows, unknown columns.
    """

    table: pd.DataFrame
    root: Path
    quarantine: pd.DataFrame
    notes: tuple[str, ...] = ()

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels in code-point order, whatever order the file system or the table lists them in."""
        return tuple(sorted(set(self.table["label"])))

    @property
    def found(self) -> int:
        """How many images were found: indexed + quarantined."""
        return len(self.table) + len(self.quarantine)

    def path(self, image: str) -> Path:
        """Where the file of `image` is."""
        return self.root / image

    def take(self, rows: Any) -> "Manifest":
        """The manifest with some rows only: a mask of its length, or image names (their order is kept)."""
        values = list(rows)
        if len(values) == len(self.table) and all(str(type(v).__name__).startswith("bool") for v in values):
            table = self.table[pd.Series(values, index=self.table.index, dtype=bool)]
        else:
            table = self._by_name(values)
        return replace(self, table=table.reset_index(drop=True))

    def _by_name(self, images: list[str]) -> pd.DataFrame:
        indexed = self.table.set_index("image", drop=False)
        unknown = [image for image in images if image not in indexed.index]
        if unknown:
            raise BadManifest(f"expected images of the manifest. Received: {unknown[0]}, which is not in it")
        return indexed.loc[images]


def read_manifest(
    data: Path,
    *,
    images: Path | None = None,
    check: bool = True,
    limits: Limits | None = None,
    classes: Sequence[str] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Manifest:
    """Read a folder of class folders, or a CSV, into a manifest; docs/reference/manifest.md lists the layouts.

    Args:
        data: `root/{train,val,test}/{class}/`, `root/{class}/`, a folder with manifest.csv, metadata.csv or
            train.csv, or a CSV with image and label (header in any case).
        images: the folder that a CSV's images are in; default the CSV's own folder.
        check: decode every file once, quarantine what fails, and fill sha256, pixels_sha256 and file_*.
        limits: what one file may cost.
        classes: quarantine every other label.
        progress: called with (files done, files in all) while checking.

    Raises:
        BadManifest: nothing to read, or a table that contradicts itself or leaves its folder.
    """
    rows = read_rows(Path(data), images=images)
    return manifest_of(rows, name=str(data), check=check, limits=limits, classes=classes, progress=progress)


def manifest_of(
    rows: Rows,
    *,
    name: str,
    check: bool = True,
    limits: Limits | None = None,
    classes: Sequence[str] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Manifest:
    """The manifest of rows that a reader or importer found; arguments and errors as for `read_manifest`."""
    table, refused = rows.table, list(rows.refused)
    if classes is not None:
        table, others = _of_classes(table, classes)
        refused += others
    if check:
        table, undecodable = check_files(table, rows.root, limits=limits or Limits(), progress=progress)
        refused += undecodable
    if table.empty:
        raise BadManifest(_nothing_left(name, refused))
    return Manifest(_ordered(table), rows.root, quarantine_table(refused), (*rows.notes, *_remarks(table)))


def quarantine_table(refused: Iterable[Refusal]) -> pd.DataFrame:
    """Refusals as a table with the columns image, code, reason."""
    return pd.DataFrame(list(refused), columns=["image", "code", "reason"], dtype=str)


def require_classes(manifest: Manifest, *, at_least: int = 2) -> None:
    """Raise `BadManifest` when the manifest has fewer than `at_least` classes."""
    if len(manifest.classes) < at_least:
        received = ", ".join(manifest.classes) or "none"
        raise BadManifest(f"expected at least {at_least} classes. Received: {received}")


def select(
    manifest: Manifest,
    *,
    labels: Mapping[str, str] | Sequence[str] | None = None,
    sources: Sequence[str] | None = None,
    where: Sequence[str] = (),
) -> Manifest:
    """The rows that pass every filter; the quarantine is carried along unchanged.

    Args:
        labels: labels to keep, or old label to new label. `source:label` means that label of one source only:
            `{"ieee8023:covid": "covid", "kermany:virus": "virus"}`.
        sources: sources to keep.
        where: `column=value`, `column=one,another`, `column!=value`; all of them must hold.

    Raises:
        UsageError: a filter that is not of this form, or names a column, label or source that is not there.
        BadManifest: nothing is left.
    """
    table = manifest.table
    for clause in (*where, *([f"source={','.join(sources)}"] if sources else ())):
        table = table[_holds(table, clause, everything=manifest.table)]
    if labels is not None:
        mapping = dict(labels) if isinstance(labels, Mapping) else {name: name.split(":")[-1] for name in labels}
        table = _relabelled(table, mapping, everything=manifest.table)
    if table.empty:
        raise BadManifest("expected the filters to leave some images. Received: none")
    return replace(manifest, table=table.reset_index(drop=True))


def write_manifest(manifest: Manifest, path: Path) -> None:
    """Write the table as CSV, atomically; a column `root` says where the images are, when not beside the file."""
    table = manifest.table
    root, folder = manifest.root.resolve(), path.parent.resolve()
    if root != folder:
        table = table.assign(root=_relative(root, folder))
    with replacing(path) as temporary:
        table.to_csv(temporary, index=False)


def write_quarantine(manifest: Manifest, path: Path) -> None:
    """Write image, code, reason of every refused image as CSV, atomically; only a header when there is none."""
    with replacing(path) as temporary:
        manifest.quarantine.to_csv(temporary, index=False)


def fingerprint(manifest: Manifest) -> str:
    """SHA-256 over the sorted pairs (sha256 of the file, label): the identity of a training set, 64 hex digits."""
    table = manifest.table
    if "sha256" in table and (table["sha256"] != "").all():
        hashes = table["sha256"].tolist()
    else:
        hashes = [sha256_file(manifest.path(image)) for image in table["image"]]
    pairs = sorted(zip(hashes, table["label"], strict=True))
    return sha256_bytes("".join(f"{digest} {label}\n" for digest, label in pairs).encode())


def _of_classes(table: pd.DataFrame, classes: Sequence[str]) -> tuple[pd.DataFrame, list[Refusal]]:
    known = table["label"].isin(list(classes))
    reason = f"expected a label out of {', '.join(classes)}. Received: "
    others = [
        Refusal(str(row.image), "unknown-label", f"{reason}{row.label}")
        for row in table[~known].itertuples(index=False)
    ]
    return table[known], others


def _ordered(table: pd.DataFrame) -> pd.DataFrame:
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


def _nothing_left(data: str, refused: list[Refusal]) -> str:
    example = f", for example {refused[0].image}: {refused[0].code}" if refused else ""
    return f"expected images that can be used in {data}. Received: {len(refused)} refused{example}"


def _holds(table: pd.DataFrame, clause: str, *, everything: pd.DataFrame) -> pd.Series:
    column, equals, values = clause.partition("=")
    negated = column.endswith("!")
    column = column.removesuffix("!").strip().lower()
    if not equals or not column:
        raise UsageError(f"expected a filter as column=value. Received: {clause!r}")
    if column not in everything:
        raise UsageError(f"expected a column out of {', '.join(everything.columns)}. Received: {column!r}")
    wanted = [value.strip() for value in values.split(",")]
    absent = sorted(set(wanted) - set(everything[column]) - {""})
    if absent and not negated:
        raise UsageError(f"expected {column} to hold {absent[0]!r} somewhere. Received: no such row")
    return table[column].isin(wanted) != negated


def _relabelled(table: pd.DataFrame, mapping: Mapping[str, str], *, everything: pd.DataFrame) -> pd.DataFrame:
    def keys(rows: pd.DataFrame) -> pd.Series:
        return rows["source"] + ":" + rows["label"] if "source" in rows else rows["label"]

    absent = [name for name in mapping if name not in set(keys(everything)) | set(everything["label"])]
    if absent:
        raise UsageError(f"expected labels of the manifest. Received: {absent[0]!r}")
    target = keys(table).map(mapping).fillna(table["label"].map(mapping))
    return table.assign(label=target)[target.notna()]


def _relative(root: Path, folder: Path) -> str:
    return Path(*[".."] * _ups(root, folder), root.relative_to(_common(root, folder))).as_posix()


def _common(root: Path, folder: Path) -> Path:
    return next(parent for parent in (folder, *folder.parents) if root == parent or parent in root.parents)


def _ups(root: Path, folder: Path) -> int:
    return len(folder.relative_to(_common(root, folder)).parts)


def counts(manifest: Manifest, *, by: str = "") -> pd.DataFrame:
    """Images per label (rows) and per value of the column `by` ("" for one column `images`), with a column `all`."""
    if by and by in manifest.table:
        values = manifest.table[by].replace("", "(none)")
        table = pd.crosstab(manifest.table["label"], values)
        return table.assign(all=table.sum(axis=1))
    return manifest.table.groupby("label").size().to_frame("images")


def reasons(manifest: Manifest) -> pd.DataFrame:
    """Refused images per code: columns code, images, reason (of the first one), example."""
    grouped = manifest.quarantine.groupby("code", sort=True)
    return pd.DataFrame(
        [(code, len(rows), rows["reason"].iloc[0], rows["image"].iloc[0]) for code, rows in grouped],
        columns=["code", "images", "reason", "example"],
    )


def summary(manifest: Manifest) -> str:
    """Some lines of plain text: files found, images per class (and split, source), quarantined with reasons, notes."""
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
