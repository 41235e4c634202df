"""Bring the columns of any table to the names of the manifest: synonyms, a mapping by the user, one-hot labels."""

import re
import unicodedata
from collections.abc import Mapping

import pandas as pd

from covid_xray.data.manifest.tables import patient_text
from covid_xray.errors import BadManifest, UsageError, closest, did_you_mean

COLUMNS = ("image", "label", "patient_id", "source", "view", "age", "sex", "license", "split", "group")
SPLIT_FOLDERS = {
    **{"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val"},
    **{"test": "test", "testing": "test"},
}
SPLIT_NAMES = {**SPLIT_FOLDERS, "calibration": "calibration", "": ""}
SYNONYMS = {
    "image": ("filename", "file_name", "file", "path", "image_path", "image_name"),
    "label": ("class", "class_name"),
    "patient_id": ("patientid", "patient", "subject_id"),
    "sex": ("gender",),
}
_ON, _OFF = {"1", "1.0", "true", "yes"}, {"", "0", "0.0", "false", "no"}
SEVERAL = "\n"  # in a label: the one-hot columns of this row name several classes


def parse_pairs(text: str | None, *, option: str) -> dict[str, str]:
    """Parse `new=old,new=old` of a command line; commas inside a name cannot be given.

    Raises:
        UsageError: a part is not of the form a=b, or a name is given twice.
    """
    pairs: dict[str, str] = {}
    for part in (text or "").split(",") if text else ():
        first, equals, second = (piece.strip() for piece in part.partition("="))
        if not (first and equals and second) or first in pairs:
            raise UsageError(f"{option} has {part.strip()!r}. Give each name once, as in {option} A=B,C=D.")
        pairs[first] = second
    return pairs


def name_columns(table: pd.DataFrame, name: str, *, columns: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Return the table with the manifest's column names and values; it has `image` and `label`.

    Args:
        table: text columns, the header in any case.
        name: of the table, for messages.
        columns: manifest column to column of the table, such as `{"image": "path"}`; for `label` several one-hot
            columns may be joined by `+`.

    Raises:
        BadManifest: no image, no label, a column twice, an unknown split, or no rows.
        UsageError: `columns` names a column that the table has not.
    """
    table = table.rename(columns=_plain)
    twice = table.columns[table.columns.duplicated()]
    if len(twice):
        raise BadManifest(f"{name} has the column {twice[0]!r} twice. Rename one; upper and lower case are equal.")
    if table.empty:
        raise BadManifest(f"{name} has no rows, only a header.")
    table = table.apply(lambda column: column.str.strip())
    table = _by_mapping(table, name, columns or {})
    for known, others in SYNONYMS.items():
        found = [other for other in others if other in table.columns]
        if known not in table.columns and found:
            table = table.rename(columns={found[0]: known})
    if "image" in table and "label" not in table:
        table = _from_one_hot(table, name)
    for needed in ("image", "label"):
        if needed not in table.columns:
            raise BadManifest(_missing(needed, table, name))
    return _plain_values(table, name)


def rename_labels(labels: pd.Series, mapping: Mapping[str, str]) -> pd.Series:
    """Rename labels; those that `mapping` does not name stay. Raises `UsageError` for a label that no image has."""
    there = set(labels)
    absent = [label for label in mapping if label not in there]
    if absent:
        found = ", ".join(sorted(there)[:12])
        raise UsageError(f"No image has the label {absent[0]!r}. Found: {found}.{did_you_mean(absent[0], there)}")
    return labels.replace(dict(mapping))


def _plain(name: object) -> str:
    return re.sub(r"\s+", "_", str(name).strip().lower()) or "unnamed"


def _by_mapping(table: pd.DataFrame, name: str, columns: Mapping[str, str]) -> pd.DataFrame:
    for target, given in columns.items():
        parts = [_plain(part) for part in ([given] if _plain(given) in table else given.split("+"))]
        for part in parts:
            if part not in table:
                found = ", ".join(map(str, table.columns[:12]))
                suggestion = did_you_mean(part, map(str, table.columns))
                raise UsageError(f"{name} has no column {part!r}. It has {found}.{suggestion}")
        if _plain(target) in table and [_plain(target)] != parts:
            table = table.rename(columns={_plain(target): f"{_plain(target)}_in_csv"})
            parts = [f"{part}_in_csv" if part == _plain(target) else part for part in parts]
        if len(parts) > 1:
            table = table.assign(**{_plain(target): _one_hot(table[parts])}).drop(columns=parts)
        else:
            table = table.rename(columns={parts[0]: _plain(target)})
    return table


def _from_one_hot(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """Read the label from columns of 0 and 1, where each row has exactly one 1."""
    others = [str(column) for column in table if column not in COLUMNS]
    flags = [column for column in others if set(table[column].str.lower()) <= _ON | _OFF]
    if len(flags) < 2:
        return table
    label = _one_hot(table[flags])
    unclear = int(((label == "") | (label == SEVERAL)).sum())
    if unclear:
        raise BadManifest(
            f"{name} has no column 'label', and {unclear} of its rows have no 1 or several in {', '.join(flags[:8])}. "
            f"Name the columns of the classes: --columns label={'+'.join(flags[:3])}."
        )
    return table.assign(label=label).drop(columns=flags)


def _one_hot(flags: pd.DataFrame) -> pd.Series:
    """Return the column with the only 1 of each row; "" where a row has no 1, `SEVERAL` where it has more."""
    on = flags.apply(lambda column: column.str.lower().isin(_ON))
    count = on.sum(axis=1)
    return on.idxmax(axis=1).where(count == 1, other=count.map(lambda n: SEVERAL if n else "")).astype(str)


def _missing(needed: str, table: pd.DataFrame, name: str) -> str:
    found = ", ".join(map(str, table.columns[:8]))
    column = closest(needed, map(str, table.columns)) or "COLUMN"
    return (
        f"{name} has no column {needed!r}. It needs image and label, and has {found}. "
        f"Say which column it is by --columns {needed}={column}."
    )


def _plain_values(table: pd.DataFrame, name: str) -> pd.DataFrame:
    table = table.assign(label=table["label"].map(lambda label: unicodedata.normalize("NFC", label)))
    if "patient_id" in table:
        table["patient_id"] = table["patient_id"].map(patient_text)
    if "split" in table:
        lower = table["split"].str.lower()
        unknown = sorted(set(lower) - set(SPLIT_NAMES))
        if unknown:
            raise BadManifest(f"Unknown split {unknown[0]!r} in {name}. Accepted: train, val, calibration and test.")
        table["split"] = lower.map(SPLIT_NAMES)
    return table
