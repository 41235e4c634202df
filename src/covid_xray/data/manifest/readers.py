"""Read folders and CSV files into rows of text, with refusals for what cannot be used.

Nothing is decoded here; `manifest.read_manifest` does that next. Every cell is text, "" where unknown.
"""

import os
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import NamedTuple

import pandas as pd

from covid_xray.data.manifest.columns import SEVERAL, SPLIT_FOLDERS, name_columns
from covid_xray.data.manifest.file_lookup import Lookup
from covid_xray.data.manifest.tables import read_any_table, text_table
from covid_xray.errors import BadManifest, UsageError

CSV_NAMES = ("manifest.csv", "manifest.parquet", "manifest.jsonl", "metadata.csv", "train.csv")
IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".dcm", ".dicom", ".ima", ""}


class Refusal(NamedTuple):
    """One quarantined image: its name, a stable code, a sentence for people."""

    image: str
    code: str
    reason: str


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows of a reader: `table` (text columns image, label, ...), `root`, refused images, remarks for people."""

    table: pd.DataFrame
    root: Path
    refused: tuple[Refusal, ...] = ()
    notes: tuple[str, ...] = ()


def read_rows(
    data: Path | pd.DataFrame, *, images: Path | None = None, columns: Mapping[str, str] | None = None
) -> Rows:
    """Read the rows of a folder of class folders, a folder with a table, or a table; see docs/reference/manifest.md.

    Raises:
        BadManifest: no images, or an unusable table.
        UsageError: `columns` for a folder of class folders.
    """
    if isinstance(data, pd.DataFrame):
        return table_rows(text_table(data), Path("The DataFrame"), images=images, columns=columns)
    if data.is_file():
        return csv_rows(data, images=images, columns=columns)
    if not data.is_dir():
        raise BadManifest(f"No such file or folder: {data}. Give a folder of images or a CSV file.")
    names = {path.name.lower(): path for path in sorted(data.iterdir()) if path.is_file()}
    for name in CSV_NAMES:
        if name in names:
            return _note_unlisted(csv_rows(names[name], images=images, columns=columns), names[name])
    if columns:
        raise UsageError(f"{data} has no table, so there are no columns to name. Leave out --columns.")
    return folder_rows(data)


def files_below(root: Path) -> list[str]:
    """List the relative posix paths of all files below `root` but hidden ones, sorted; links are followed."""
    return sorted(_walk(root, seen=set()))


def folder_rows(root: Path) -> Rows:
    """Read the rows of `root/{train,val,test}/{class}/...` or `root/{class}/...`, sub-folders included."""
    files = files_below(root)
    if not files:
        raise BadManifest(f"The folder {root} holds no file. Give a folder of images in class folders.")
    tops = {PurePosixPath(name).parts[0].lower() for name in files if "/" in name}
    depth = 2 if tops & set(SPLIT_FOLDERS) and any(name.count("/") >= 2 for name in files) else 1
    rows, refused = [], []
    for name in files:
        refusal = _misplaced(name, depth=depth)
        if refusal:
            refused.append(refusal)
            continue
        parts = unicodedata.normalize("NFC", name).split("/")
        rows.append((name, parts[1], SPLIT_FOLDERS[parts[0].lower()]) if depth == 2 else (name, parts[0]))
    if not rows:
        raise BadManifest(
            f"None of the {len(files)} files in {root} is an image in a class folder. "
            "Arrange them as root/class/name.png or root/train/class/name.png."
        )
    table = pd.DataFrame(rows, columns=["image", "label", "split"] if depth == 2 else ["image", "label"], dtype=str)
    return Rows(table, root, tuple(refused))


def csv_rows(path: Path, *, images: Path | None = None, columns: Mapping[str, str] | None = None) -> Rows:
    """Read the rows of a table with a header (any case); images are below `images`, else the file's folder."""
    return table_rows(read_any_table(path), path, images=images, columns=columns)


def table_rows(
    table: pd.DataFrame, path: Path, *, images: Path | None = None, columns: Mapping[str, str] | None = None
) -> Rows:
    """Find the files that a table of text names; `path` is the file that it was read from."""
    table = name_columns(table, path.name, columns=columns)
    root = _find_root(table, path, images)
    table = table.drop(columns="root", errors="ignore")
    table, repeated = _merge_repeated(table, path)
    lookup = Lookup(root, files_below)
    found, refused = [], []
    for index, row in zip(table.index, table.itertuples(index=False), strict=True):
        name, refusal = _find_file(str(row.image), str(row.label), lookup, root)
        if refusal:
            refused.append(refusal)
        found.append((index, name if not refusal else None))
    names = pd.Series(dict(found), dtype=object).reindex(table.index)
    kept = table[names.notna()].copy()
    if (kept["image"] != names.dropna()).any():
        kept["name_in_csv"] = kept["image"]
    kept["image"] = names.dropna().astype(str)
    again = kept["image"][kept["image"].duplicated()]
    if len(again):
        names = kept.loc[kept["image"] == again.iloc[0], "name_in_csv"].tolist()
        raise BadManifest(f"{names[0]} and {names[1]} in {path.name} name one file. Remove one of the rows.")
    notes = (f"{repeated} rows repeat an image and agree; each image is kept once",) if repeated else ()
    return Rows(kept.reset_index(drop=True), root, tuple(refused), notes)


def is_image_name(name: str) -> bool:
    """Return whether a file of this name may be PNG, JPEG or DICOM (which often has no suffix, or a number)."""
    suffix = PurePosixPath(name).suffix.lower()
    return suffix in IMAGE_SUFFIXES or suffix[1:].isdigit()


def _walk(folder: Path, *, seen: set[Path], prefix: str = "") -> Iterator[str]:
    real = folder.resolve()
    if real in seen:  # a link to one of its own parents
        return
    seen.add(real)
    try:
        listing = os.scandir(folder)
    except OSError:
        raise BadManifest(f"The folder {folder} cannot be listed. Check its permissions.") from None
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
        return Refusal(readable, "bad-name", "The file name is not UTF-8. Rename the file.")
    if not is_image_name(name):
        return Refusal(name, "not-an-image", "The file name is not that of a PNG, JPEG or DICOM file.")
    parts = name.split("/")
    if len(parts) <= depth or (depth == 2 and parts[0].lower() not in SPLIT_FOLDERS):
        place = "train|val|test/class/name" if depth == 2 else "class/name"
        return Refusal(name, "no-label", f"The image is in no class folder. Move it to {place}.")
    return None


def _note_unlisted(rows: Rows, path: Path) -> Rows:
    """Add a note on images in the folder that its table does not list, so that an outdated table is noticed."""
    named = {*rows.table["image"], *(refusal.image for refusal in rows.refused)}
    others = [name for name in files_below(rows.root) if PurePosixPath(name).suffix and is_image_name(name)]
    more = len(set(others) - named)
    note = f"the folder was read by {path.name}, which does not list {more:,} of its images"
    return replace(rows, notes=(*rows.notes, note)) if more else rows


def _is_utf8(name: str) -> bool:
    """Return whether a file name is UTF-8: Python shows other bytes as lone surrogates, which no CSV can hold."""
    return not any("\ud800" <= letter <= "\udfff" for letter in name)


def _find_root(table: pd.DataFrame, path: Path, images: Path | None) -> Path:
    roots = sorted(set(table["root"])) if "root" in table else []
    root = images or (path.parent / roots[0] if len(roots) == 1 else path.parent)
    if not root.is_dir():
        raise BadManifest(f"No such folder: {root}. Give the folder with the images of {path.name} by --images.")
    return root


def _merge_repeated(table: pd.DataFrame, path: Path) -> tuple[pd.DataFrame, int]:
    """Merge equal rows; refuse different rows for one image."""
    distinct = table.drop_duplicates()
    again = distinct["image"][distinct["image"].duplicated() & (distinct["image"] != "")]
    if len(again):
        rows = distinct[distinct["image"] == again.iloc[0]]
        column = next(name for name in rows if rows[name].nunique() > 1)
        values = " and ".join(repr(value) for value in rows[column].unique()[:2])
        raise BadManifest(f"{path.name} lists {again.iloc[0]} twice, with {column} {values}. Remove one of the rows.")
    return distinct, len(table) - len(distinct)


def _below(root: Path, name: str) -> str:
    """Return an absolute path below `root` relative to it, any other as it is."""
    for folder in (root.absolute(), root.resolve()):
        if name.startswith("/") and PurePosixPath(name).is_relative_to(folder):
            return PurePosixPath(name).relative_to(folder).as_posix()
    return name


def _find_file(name: str, label: str, lookup: Lookup, root: Path) -> tuple[str, Refusal | None]:
    if not name:
        return "", Refusal("", "no-image", "The cell with the file name is empty.")
    posix = _below(root, name.replace("\\", "/"))
    if posix.startswith("/") or PureWindowsPath(name).drive:
        raise BadManifest(
            f"The image path {name} is absolute and not below {root}. Give the folder that it is below by --images."
        )
    if ".." in PurePosixPath(posix).parts:
        raise BadManifest(f"The image path {name} leaves the image folder. Move the file into it.")
    if label.lower() in ("", "nan"):
        return "", Refusal(name, "no-label", "The cell with the label is empty.")
    if label == SEVERAL:
        return "", Refusal(name, "several-labels", "The row has a 1 in several label columns.")
    found = lookup.find(str(PurePosixPath(posix)), label=label)
    if not found:
        return "", Refusal(name, "missing-file", "The file that the table names does not exist.")
    if len(found) > 1:
        return "", Refusal(name, "ambiguous-file", f"Two files have this name: {found[0]} and {found[1]}.")
    return found[0], None
