"""A downloaded public data set and its description (`Source`) in, rows with our columns and labels out.

A source is described, not programmed: which table or folders hold the images, which of their columns are ours, which
words of theirs are which label, and which rows are not frontal radiographs (those are refused, never dropped).
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import pandas as pd

from covid_xray.data.manifest.file_lookup import Lookup
from covid_xray.data.manifest.readers import SPLIT_FOLDERS, Refusal, Rows, files_below, is_image_name
from covid_xray.data.manifest.tables import UNKNOWN, patient_text, read_table
from covid_xray.errors import BadManifest

Record = dict[str, str]
ENCODINGS = ("utf-8-sig", "cp1252", "latin-1")
FRONTAL = frozenset({"", "pa", "ap", "ap supine", "ap erect", "ap semi erect", "ap semi-erect", "pa erect"})
RADIOGRAPHY = frozenset({"", "x-ray", "xray", "cr", "dx"})


def read_csv(path: Path) -> pd.DataFrame:
    """A public table as text; some of them are not UTF-8."""
    return read_table(path, encodings=ENCODINGS)


def same(record: Record) -> Record:
    """The record as it is."""
    return record


@dataclass(frozen=True)
class Source:
    """How one public data set lies on disk after its download.

    Args:
        name: the word for `--source`, and the value of the column `source`.
        title: its name for people.
        home: where a user downloads it.
        license: of every image; a column `license` of the table comes first.
        cite: how its owners ask to be cited.
        tables: file-name patterns of its tables; every one that matches is read.
        read: reads one table.
        image: column with the file name (suffix and folder may be missing). Unused when `folders` is given.
        folders: name of a folder (any case) to the finding of the images in it; tables then only add columns.
        skip: folders whose images are something else (masks, CT).
        columns: our column to theirs (any case; `a|b` where releases differ).
        finding: their column with the finding.
        labels: (regular expression, label); the first one found in the finding decides, none refuses the image.
        keep: our column to the lower-case values that are used.
        patient: regular expression with one group that is searched in the file name.
        patient_prefix: put before every patient id, so that ids of two sources never meet by accident, and do meet
            where two sources name the same people (`nih`).
        prepare: what cannot be said in a table; gets the record before labels and filters.
    """

    name: str
    title: str
    home: str
    license: str
    cite: str = ""
    tables: tuple[str, ...] = ()
    read: Callable[[Path], pd.DataFrame] = read_csv
    image: str = ""
    folders: Mapping[str, str] = field(default_factory=dict)
    skip: tuple[str, ...] = ("masks",)
    columns: Mapping[str, str] = field(default_factory=dict)
    finding: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    keep: Mapping[str, frozenset[str]] = field(default_factory=dict)
    patient: str = ""
    patient_prefix: str = ""
    prepare: Callable[[Record], Record] = same


def source_rows(source: Source, root: Path) -> Rows:
    """The rows of `source` below `root`; every table row, or every file of its folders, is a row or a refusal.

    Raises:
        BadManifest: the folder does not look like this source; the message says what was expected.
    """
    if not root.is_dir():
        raise BadManifest(f"expected the downloaded folder of {source.title}. Received: {root}, which does not exist")
    files = files_below(root)
    found = [name for name in files for pattern in source.tables if PurePosixPath(name).match(pattern)]
    if source.tables and not source.folders and not found:
        raise BadManifest(f"expected {' or '.join(source.tables)} below {root}. Received: no such file")
    records = _from_folders(source, root, files, found) if source.folders else _from_tables(source, root, files, found)
    rows: list[Record] = []
    refused: list[Refusal] = []
    seen: set[str] = set()
    for record in records:
        refusal = _refusal(source, record, seen)
        if refusal:
            refused.append(refusal)
        else:
            seen.add(record["image"])
            rows.append({key: value for key, value in record.items() if not key.startswith("_")})
    if not rows:
        where = f" in folders called {', '.join(source.folders)}" if source.folders else ""
        example = f", for example {refused[0].image}: {refused[0].reason}" if refused else ""
        raise BadManifest(
            f"expected images of {source.title} below {root}{where}. Received: none that can be used{example}"
        )
    return Rows(pd.DataFrame(rows).fillna("").astype(str), root, tuple(refused))


def _from_tables(source: Source, root: Path, files: list[str], tables: list[str]) -> Iterator[Record]:
    lookup = Lookup(root, lambda _: files)
    for name in tables:
        table = _lower(source.read(root / name))
        for needed in (source.image, source.finding):
            if needed and needed.lower() not in table:
                raise BadManifest(f"expected {name} to have a column {needed!r}. Received: {', '.join(table.columns)}")
        for cells in _dicts(table.drop_duplicates()):
            given = cells[source.image.lower()].strip().replace("\\", "/")
            usable = bool(given) and not given.startswith("/") and ".." not in PurePosixPath(given).parts
            paths = lookup.find(given) if usable else []
            paths = [path for path in paths if is_image_name(path) and not _inside(path, source.skip)] or paths
            record = _record(source, cells, image=paths[0] if paths else given, table=name)
            yield record | {"_found": str(len(paths)), "_other": paths[1] if len(paths) > 1 else ""}


def _from_folders(source: Source, root: Path, files: list[str], tables: list[str]) -> Iterator[Record]:
    facts: dict[str, Record] = {}
    for name in tables:
        table = _lower(source.read(root / name))
        if source.image.lower() in table:
            facts |= {_stem(cells[source.image.lower()]): cells for cells in _dicts(table)}
    findings = {folder.casefold(): finding for folder, finding in source.folders.items()}
    for path in files:
        folder = next((part for part in PurePosixPath(path).parts[:-1] if part.casefold() in findings), None)
        if folder is None or _inside(path, source.skip):
            continue
        cells = facts.get(_stem(path), {})
        record = _record(source, cells, image=path, table="", finding=findings[folder.casefold()])
        yield record | {"_found": "1", "_other": ""}


def _record(source: Source, cells: Record, *, image: str, table: str, finding: str = "") -> Record:
    record = {"image": image, "source": source.name, "original_name": image, "finding": finding, "_table": table}
    for ours, theirs in source.columns.items():
        value = next((str(cells[name]).strip() for name in theirs.lower().split("|") if name in cells), "")
        record[ours] = "" if value.lower() in UNKNOWN else value
    if source.finding and source.finding.lower() in cells:
        record["finding"] = str(cells[source.finding.lower()]).strip()
    if source.patient and not record.get("patient_id"):
        match = re.search(source.patient, PurePosixPath(image).name, re.IGNORECASE)
        record["patient_id"] = match.group(1) if match else ""
    if source.folders:
        part = next((p for p in PurePosixPath(image).parts[:-1] if p.lower() in SPLIT_FOLDERS), "")
        record |= {"original_split": SPLIT_FOLDERS[part.lower()]} if part else {}
    return _tidied(source, source.prepare(record))


def _tidied(source: Source, record: Record) -> Record:
    patient = patient_text(record.get("patient_id", ""))
    prefix = record.pop("_prefix", source.patient_prefix or source.name)
    record["patient_id"] = f"{prefix}-{patient}" if patient else ""
    record["sex"] = {"m": "M", "male": "M", "f": "F", "female": "F"}.get(record.get("sex", "").lower(), "")
    record["age"] = _years(record.get("age", ""))
    record["license"] = record.get("license") or source.license
    finding = record["finding"]
    record["label"] = next((label for rule, label in source.labels if re.search(rule, finding.lower())), "")
    return record


def _refusal(source: Source, record: Record, seen: set[str]) -> Refusal | None:
    image, finding, other = record["image"], record["finding"] or "an empty cell", record["_other"]
    view = next((column for column, used in source.keep.items() if record.get(column, "").lower() not in used), "")
    checks = (
        (record["_found"] == "0", "missing-file", "the file that the table names", "no such file"),
        (bool(other), "ambiguous-file", "one file of this name", f"{image} and {other}"),
        (not is_image_name(image), "not-an-image", "PNG, JPEG or DICOM", "another file suffix"),
        (bool(view), f"other-{view}", "a frontal radiograph", f"{view} {record.get(view, '')!r}"),
        (not record["label"], "no-label", "a finding that has a label", finding),
        (image in seen, "listed-twice", "one row for each image", "another one before"),
    )
    for wrong, code, expected, received in checks:
        if wrong:
            return Refusal(image, code, f"expected {expected}. Received: {received}")
    return None


def _years(text: str) -> str:
    """Whole or decimal years; `058Y` is 58, and what no person can be (NIH has 411) is unknown."""
    match = re.fullmatch(r"0*(\d+(?:\.\d+)?)\s*[Yy]?", text.strip())
    return patient_text(match.group(1)) if match and float(match.group(1)) <= 120 else ""


def _lower(table: pd.DataFrame) -> pd.DataFrame:
    return table.rename(columns=lambda name: str(name).strip().lower())


def _dicts(table: pd.DataFrame) -> list[Record]:
    return [{str(key): str(value) for key, value in cells.items()} for cells in table.to_dict("records")]


def _stem(name: str) -> str:
    path = PurePosixPath(name.strip().replace("\\", "/"))
    return (path.stem if is_image_name(path.name) and path.suffix else path.name).casefold()


def _inside(path: str, folders: tuple[str, ...]) -> bool:
    return bool({part.casefold() for part in PurePosixPath(path).parts[:-1]} & {name.casefold() for name in folders})
