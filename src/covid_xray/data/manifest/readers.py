"""Folders and CSV files in, rows of text out: what was found, where, and what could not be placed.

Nothing is decoded here; `manifest.read_manifest` does that next. Every cell is text, "" where nothing is known.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import NamedTuple

import pandas as pd

from covid_xray.data.manifest.file_lookup import Lookup
from covid_xray.data.manifest.tables import patient_text, read_table
from covid_xray.errors import BadManifest

CSV_NAMES = ("manifest.csv", "metadata.csv", "train.csv")
SPLIT_FOLDERS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
SPLIT_NAMES = {**SPLIT_FOLDERS, "calibration": "calibration", "": ""}
IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".dcm", ".dicom", ".ima", ""}
SYNONYMS = {
    "image": ("filename", "file_name", "file", "path", "image_path", "image_name"),
    "label": ("class", "class_name"),
    "patient_id": ("patientid", "patient", "subject_id"),
    "sex": ("gender",),
}


class Refusal(NamedTuple):
    """One quarantined image: its name, a stable code, a sentence for people."""

    image: str
    code: str
    reason: str


@dataclass(frozen=True, eq=False)
class Rows:
    """What a reader found: `table` (text columns image, label, ...), `root`, refused images, remarks for people."""

    table: pd.DataFrame
    root: Path
    refused: tuple[Refusal, ...] = ()
    notes: tuple[str, ...] = ()


def read_rows(data: Path, *, images: Path | None = None) -> Rows:
    """Rows of a folder of class folders, of a folder with a CSV, or of a CSV; see docs/reference/manifest.md.

    Raises:
        BadManifest: nothing there, or a table that cannot be understood; the message says what was expected.
    """
    if data.is_file():
        return csv_rows(data, images=images)
    if not data.is_dir():
        raise BadManifest(f"expected a folder or a CSV file. Received: {data}, which does not exist")
    names = {path.name.lower(): path for path in sorted(data.iterdir()) if path.is_file()}
    for name in CSV_NAMES:
        if name in names:
            return _with_unnamed(csv_rows(names[name], images=images), names[name])
    return folder_rows(data)


def files_below(root: Path) -> list[str]:
    """Relative posix paths of all files below `root`, hidden ones left out, in code-point order; links are followed."""
    return sorted(_walk(root, seen=set()))


def folder_rows(root: Path) -> Rows:
    """Rows of `root/{train,val,test}/{class}/...` or `root/{class}/...`; deeper folders belong to their class."""
    files = files_below(root)
    if not files:
        raise BadManifest(f"expected a folder of images in class folders. Received: {root}, which holds no file")
    parts = {PurePosixPath(name).parts[0].lower() for name in files if "/" in name}
    depth = 2 if parts & set(SPLIT_FOLDERS) and any(name.count("/") >= 2 for name in files) else 1
    rows, refused = [], []
    for name in files:
        refusal = _misplaced(name, depth=depth)
        if refusal:
            refused.append(refusal)
        else:
            rows.append(_folder_row(name, depth=depth))
    if not rows:
        raise BadManifest(
            f"expected images as root/class/name.png or root/train/class/name.png. "
            f"Received: {root} with {len(files)} files, none of them an image in a class folder"
        )
    table = pd.DataFrame(rows, columns=["image", "label", "split"] if depth == 2 else ["image", "label"], dtype=str)
    return Rows(table, root, tuple(refused))


def csv_rows(path: Path, *, images: Path | None = None) -> Rows:
    """Rows of a CSV file with a header (any case); its images are below `images`, else below the file's folder."""
    table = _tidy(read_table(path), path)
    root = _root(table, path, images)
    table = table.drop(columns="root", errors="ignore")
    table, repeated = _merged(table, path)
    lookup = Lookup(root, files_below)
    found, refused = [], []
    for index, row in zip(table.index, table.itertuples(index=False), strict=True):
        name, refusal = _placed(str(row.image), str(row.label), lookup)
        if refusal:
            refused.append(refusal)
        found.append((index, name if not refusal else None))
    names = pd.Series(dict(found), dtype=object).reindex(table.index)
    kept = table[names.notna()].copy()
    if (kept["image"] != names.dropna()).any():
        kept["name_in_csv"] = kept["image"]
    kept["image"] = names.dropna().astype(str)
    _refuse_twice_found(kept, path)
    notes = (f"{repeated} rows repeated an image and agreed; each image is kept once",) if repeated else ()
    return Rows(kept.reset_index(drop=True), root, tuple(refused), notes)


def is_image_name(name: str) -> bool:
    """Whether a file of this name may be PNG, JPEG or DICOM (which often has no suffix, or a digit)."""
    suffix = PurePosixPath(name).suffix.lower()
    return suffix in IMAGE_SUFFIXES or suffix[1:].isdigit()


def _walk(folder: Path, *, seen: set[Path], prefix: str = "") -> Iterator[str]:
    real = folder.resolve()
    if real in seen:  # a link that points at one of its own parents
        return
    seen.add(real)
    try:
        listing = os.scandir(folder)
    except OSError:
        raise BadManifest(f"expected folders that can be listed. Received: {folder}, which cannot") from None
    with listing as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                yield from _walk(Path(entry.path), seen=seen, prefix=f"{prefix}{entry.name}/")
            else:
                yield f"{prefix}{entry.name}"


def _misplaced(name: str, *, depth: int) -> Refusal | None:
    if not _is_utf8(name):
        readable = name.encode("utf-8", "backslashreplace").decode()
        return Refusal(readable, "bad-name", "expected a file name in UTF-8. Received: other bytes; rename the file")
    if not is_image_name(name):
        return Refusal(name, "not-an-image", "expected PNG, JPEG or DICOM. Received: another file suffix")
    parts = name.split("/")
    if len(parts) <= depth or (depth == 2 and parts[0].lower() not in SPLIT_FOLDERS):
        expected = "train|val|test/class/name" if depth == 2 else "class/name"
        return Refusal(name, "no-label", f"expected the image at {expected}. Received: a file in another place")
    return None


def _with_unnamed(rows: Rows, path: Path) -> Rows:
    """A note on images in the folder that its table does not name, so that a table that is out of date is noticed."""
    named = {*rows.table["image"], *(refusal.image for refusal in rows.refused)}
    others = [name for name in files_below(rows.root) if PurePosixPath(name).suffix and is_image_name(name)]
    more = len(set(others) - named)
    note = f"the folder was read by {path.name}; {more:,} further images in it are not named there"
    return replace(rows, notes=(*rows.notes, note)) if more else rows


def _is_utf8(name: str) -> bool:
    """The system hands other bytes over as lone surrogates, which no CSV file can hold."""
    return not any("\ud800" <= letter <= "\udfff" for letter in name)


def _folder_row(name: str, *, depth: int) -> tuple[str, ...]:
    parts = name.split("/")
    return (name, parts[1], SPLIT_FOLDERS[parts[0].lower()]) if depth == 2 else (name, parts[0])


def _tidy(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    table = table.rename(columns=lambda name: re.sub(r"\s+", "_", name.strip().lower()) or "unnamed")
    twice = table.columns[table.columns.duplicated()]
    if len(twice):
        raise BadManifest(f"expected each column of {path.name} once, in any case. Received: {twice[0]!r} twice")
    for name, others in SYNONYMS.items():
        known = [other for other in others if other in table.columns]
        if name not in table.columns and known:
            table = table.rename(columns={known[0]: name})
    for name in ("image", "label"):
        if name not in table.columns:
            received = ", ".join(map(str, table.columns[:8]))
            raise BadManifest(f"expected {path.name} to have a header with image and label. Received: {received}")
    table = table.apply(lambda column: column.str.strip())
    if "patient_id" in table:
        table["patient_id"] = table["patient_id"].map(patient_text)
    if "split" in table:
        table["split"] = _split_names(table["split"], path)
    if table.empty:
        raise BadManifest(f"expected {path.name} to have rows. Received: only a header")
    return table


def _split_names(column: pd.Series, path: Path) -> pd.Series:
    lower = column.str.lower()
    unknown = sorted(set(lower) - set(SPLIT_NAMES))
    if unknown:
        raise BadManifest(
            f"expected split in {path.name} to be train, val, calibration or test. Received: {unknown[0]!r}"
        )
    return lower.map(SPLIT_NAMES)


def _root(table: pd.DataFrame, path: Path, images: Path | None) -> Path:
    roots = sorted(set(table["root"])) if "root" in table else []
    root = images or (path.parent / roots[0] if len(roots) == 1 else path.parent)
    if not root.is_dir():
        raise BadManifest(
            f"expected the images of {path.name} in {root}. Received: no such folder; give it with --images"
        )
    return root


def _merged(table: pd.DataFrame, path: Path) -> tuple[pd.DataFrame, int]:
    """Rows that say the same become one; rows that say different things of one image are an error."""
    distinct = table.drop_duplicates()
    again = distinct["image"][distinct["image"].duplicated() & (distinct["image"] != "")]
    if len(again):
        rows = distinct[distinct["image"] == again.iloc[0]]
        column = next(name for name in rows if rows[name].nunique() > 1)
        values = " and ".join(repr(value) for value in rows[column].unique()[:2])
        raise BadManifest(
            f"expected the rows of one image in {path.name} to agree. Received: {again.iloc[0]} with {column} {values}"
        )
    return distinct, len(table) - len(distinct)


def _placed(name: str, label: str, lookup: Lookup) -> tuple[str, Refusal | None]:
    if not name:
        return "", Refusal("", "no-image", "expected a file name in the image column. Received: an empty cell")
    posix = name.replace("\\", "/")
    if posix.startswith("/") or PureWindowsPath(name).drive:
        raise BadManifest(f"expected image paths relative to the image folder. Received: the absolute path {name}")
    if ".." in PurePosixPath(posix).parts:
        raise BadManifest(f"expected image paths inside the image folder. Received: {name}, which leaves it")
    if label.lower() in ("", "nan"):
        return "", Refusal(name, "no-label", "expected a label. Received: an empty cell")
    found = lookup.find(str(PurePosixPath(posix)), label=label)
    if not found:
        return "", Refusal(name, "missing-file", "expected the file that the table names. Received: no such file")
    if len(found) > 1:
        return "", Refusal(
            name, "ambiguous-file", f"expected one file of this name. Received: {found[0]} and {found[1]}"
        )
    return found[0], None


def _refuse_twice_found(table: pd.DataFrame, path: Path) -> None:
    again = table["image"][table["image"].duplicated()]
    if len(again):
        names = table.loc[table["image"] == again.iloc[0], "name_in_csv"].tolist()
        raise BadManifest(
            f"expected one row for each file in {path.name}. Received: {names[0]} and {names[1]}, one file"
        )
