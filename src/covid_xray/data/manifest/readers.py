"""Read folders and CSV files into rows of text, with refusals for what cannot be used.

Nothing is decoded here; `manifest.read_manifest` does that next. Every cell is text, "" where unknown.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import NamedTuple

import pandas as pd

from covid_xray.data.manifest.columns import SEVERAL, SPLIT_FOLDERS, name_columns
from covid_xray.data.manifest.file_lookup import Lookup, Place
from covid_xray.data.manifest.layouts import Layout, guess_layout, is_mask, label_of, mask_folders
from covid_xray.data.manifest.tables import read_any_table, text_table
from covid_xray.errors import BadManifest, UsageError
from covid_xray.files import files_below, shown
from covid_xray.images.decode import FORMATS, how_to_convert, is_image_name, is_other_image

CSV_NAMES = ("manifest.csv", "manifest.parquet", "manifest.jsonl", "metadata.csv", "train.csv")


class Refusal(NamedTuple):
    """One quarantined image: its name, a stable code, a sentence for people."""

    image: str
    code: str
    reason: str


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows of a reader: `table` (text columns image, label, ...), `root`, refused images, remarks for people.

    `lost` gives the labels of refused images, where they are known.
    """

    table: pd.DataFrame
    root: Path
    refused: tuple[Refusal, ...] = ()
    notes: tuple[str, ...] = ()
    lost: Mapping[str, str] = field(default_factory=dict)


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


def describe_layout(data: Path) -> str:
    """Describe in one line how `read_rows` reads `data`; no image is opened."""
    if data.is_dir():
        names = {path.name.lower() for path in data.iterdir() if path.is_file()}
        table = next((name for name in CSV_NAMES if name in names), None)
        return f"{data}: the table {table}" if table else f"{data}: folders {guess_layout(files_below(data)).words}"
    return f"{data}: a table"


def folder_rows(root: Path) -> Rows:
    """Read the rows of `root/{train,val,test}/{class}/...` or `root/{class}/...` (`layouts`), sub-folders included."""
    files = files_below(root)
    if not files:
        raise BadManifest(f"The folder {root} holds no file. Give a folder of images in class folders.")
    layout, masks = guess_layout(files), mask_folders(files)
    rows: list[tuple[str, str, str]] = []
    refused, lost = [], {}
    for name in files:
        found = label_of(name, layout)
        refusal = _misplaced(name, layout, found=found is not None, masks=masks)
        if refusal:
            refused.append(refusal)
            if found and is_other_image(name):
                lost[name] = found[0]
        elif found:
            rows.append((name[len(layout.prefix) :], *found))
    if not rows:
        raise BadManifest(
            f"None of the {len(files)} files in {root} is an image in a class folder. "
            "Arrange them as root/class/name.png or root/train/class/name.png."
        )
    table = pd.DataFrame(rows, columns=["image", "label", "split"], dtype=str)
    notes: tuple[str, ...] = (f"read as {layout.words}",) if layout.prefix else ()
    notes += (f"the files in {', '.join(sorted(masks)[:3])} are taken for masks, not images",) if masks else ()
    return Rows(
        table if layout.parts else table.drop(columns="split"), root / layout.prefix, tuple(refused), notes, lost
    )


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
    lost: dict[str, str] = {}
    given = table["split"] if "split" in table else pd.Series("", index=table.index)
    file_split = SPLIT_FOLDERS.get(path.stem.lower(), "")  # train.csv names the files in train/
    for index, row, split in zip(table.index, table.itertuples(index=False), given, strict=True):
        place = Place(str(row.label), split or file_split)
        name, refusal = _find_file(str(row.image), place, lookup, root)
        if refusal:
            refused.append(refusal)
            lost.update({refusal.image: place.label} if place.label not in ("", SEVERAL) else {})
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
    return Rows(kept.reset_index(drop=True), root, tuple(refused), notes, lost)


def _misplaced(name: str, layout: Layout, *, found: bool, masks: frozenset[str]) -> Refusal | None:
    if not _is_utf8(name):
        return Refusal(shown(name), "bad-name", "The file name is not UTF-8. Rename the file.")
    if not is_image_name(name):
        return Refusal(
            name, "not-an-image", f"The file name is not that of an image ({FORMATS}).{how_to_convert(name)}"
        )
    if is_mask(name, masks):
        return Refusal(name, "mask", "The file lies in a folder of masks beside a folder of images.")
    return None if found else Refusal(name, "no-label", f"No class folder. Move it to {layout.words}.")


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


def _find_file(name: str, place: Place, lookup: Lookup, root: Path) -> tuple[str, Refusal | None]:
    if not name:
        return "", Refusal("", "no-image", "The cell with the file name is empty.")
    posix = _below(root, name.replace("\\", "/"))
    if posix.startswith("/") or PureWindowsPath(name).drive:
        raise BadManifest(
            f"The image path {name} is absolute and not below {root}. Give the folder that it is below by --images."
        )
    if ".." in PurePosixPath(posix).parts:
        raise BadManifest(f"The image path {name} leaves the image folder. Move the file into it.")
    if place.label.lower() in ("", "nan"):
        return "", Refusal(name, "no-label", "The cell with the label is empty.")
    if place.label == SEVERAL:
        return "", Refusal(name, "several-labels", "The row has a 1 in several label columns.")
    found = lookup.find(str(PurePosixPath(posix)), place=place)
    if not found:
        return "", Refusal(name, "missing-file", "The file that the table names does not exist.")
    if len(found) > 1:
        return "", Refusal(name, "ambiguous-file", f"Two files have this name: {found[0]} and {found[1]}.")
    return found[0], None
