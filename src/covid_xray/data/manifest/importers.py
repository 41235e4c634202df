"""Read a downloaded public data set by its description (`Source`) into rows with our columns and labels.

Rows that are not frontal radiographs are refused, never dropped.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath

import pandas as pd

from covid_xray.data.manifest.columns import SPLIT_FOLDERS
from covid_xray.data.manifest.file_lookup import Lookup
from covid_xray.data.manifest.readers import Refusal, Rows
from covid_xray.data.manifest.tables import UNKNOWN, patient_text, read_table
from covid_xray.errors import BadManifest
from covid_xray.files import files_below
from covid_xray.images.decode import FORMATS, is_image_name

Record = dict[str, str]
read_csv = partial(read_table, encodings=("utf-8-sig", "cp1252", "latin-1"))  # some tables are not UTF-8
FRONTAL = frozenset({"", "pa", "ap", "ap supine", "ap erect", "ap semi erect", "ap semi-erect", "pa erect"})
RADIOGRAPHY = frozenset({"", "x-ray", "xray", "cr", "dx"})


@dataclass(frozen=True)
class Source:
    """Describe one public data set as it is after download.

    Args:
        name: value of `--source` and of the column `source`.
        title: name for people.
        home: where to download it.
        license: of every image without its own in a column `license`.
        cite: citation its owners ask for.
        tables: file-name patterns of its tables.
        read: reads one table.
        image: column with the file name (suffix and folder may be missing). Unused with `folders`.
        folders: folder name (any case) to the finding of its images; tables then only add columns.
        skip: folders with other images (masks, CT).
        columns: our column to theirs (any case; `a|b` where releases differ).
        finding: their column with the finding.
        labels: (regular expression, label); the first match in the finding decides, no match refuses the image.
        keep: our column to its accepted lower-case values.
        patient: regular expression with one group for the patient id in the file name.
        patient_prefix: prefix of patient ids; equal only for sources that share patients (`nih`).
        prepare: converts a record before labels and filters.
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
    prepare: Callable[[Record], Record] = dict


def source_rows(source: Source, root: Path) -> Rows:
    """Read the rows of `source` below `root`; every table row, or every file of its folders, is a row or a refusal.

    Raises:
        BadManifest: the folder does not hold this source.
    """
    if not root.is_dir():
        raise BadManifest(f"No such folder: {root}. Give the downloaded folder of {source.title}.")
    files = files_below(root)
    found = [name for name in files for pattern in source.tables if PurePosixPath(name).match(pattern)]
    if source.tables and not source.folders and not found:
        raise BadManifest(f"No {' or '.join(source.tables)} below {root}. Give the folder of {source.title}.")
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
        example = f" For example {refused[0].image}: {refused[0].reason}" if refused else ""
        raise BadManifest(f"No usable images of {source.title} below {root}{where}.{example}")
    return Rows(pd.DataFrame(rows).fillna("").astype(str), root, tuple(refused))


def _from_tables(source: Source, root: Path, files: list[str], tables: list[str]) -> Iterator[Record]:
    lookup = Lookup(root, lambda _: files)
    for name in tables:
        table = _lower(source.read(root / name))
        for needed in (source.image, source.finding):
            if needed and needed.lower() not in table:
                raise BadManifest(f"{name} has no column {needed!r}. It has {', '.join(table.columns)}.")
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
    return _normalise(source, source.prepare(record))


def _normalise(source: Source, record: Record) -> Record:
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
        (record["_found"] == "0", "missing-file", "The file that the table names does not exist."),
        (bool(other), "ambiguous-file", f"Two files have this name: {image} and {other}."),
        (not is_image_name(image), "not-an-image", f"The file name is not that of an image ({FORMATS})."),
        (bool(view), f"other-{view}", f"Not a frontal radiograph: {view} {record.get(view, '')!r}."),
        (not record["label"], "no-label", f"The finding has no label: {finding}."),
        (image in seen, "listed-twice", "The table lists the image twice."),
    )
    return next((Refusal(image, code, reason) for refused, code, reason in checks if refused), None)


def _years(text: str) -> str:
    """Read whole or decimal years: `058Y` is 58; impossible ages (NIH has 411) are unknown."""
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
