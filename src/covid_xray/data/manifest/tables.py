"""A CSV or Excel file in, a table of text out, or an error that says what is wrong with it and in which line."""

import contextlib
import csv
import io
import re
import warnings
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from covid_xray.errors import BadManifest, InputRefused, MissingPackage
from covid_xray.files import read_bounded

CSV_BYTES = 500 << 20
WORKBOOK_BYTES = 50 << 20
# A patient that is "unknown" is no patient: else all unknowns would be one person.
UNKNOWN = {"", "nan", "none", "null", "na", "n/a", "unknown", "todo", "?"}


def read_table(
    path: Path, *, required: Sequence[str] = (), delimiter: str = ",", encodings: Sequence[str] = ("utf-8-sig",)
) -> pd.DataFrame:
    """A delimited text file as text columns (header as it is written); `required` names must be in the header.

    The first of `encodings` that fits is used: UTF-8, unless a public table is known for another. Columns without a
    name are called unnamed, unnamed-2, ...

    Raises:
        BadManifest: another encoding or delimiter, no header, rows of another width than the header, nothing in it.
    """
    text = _text(path, encodings)
    first = text.splitlines()[0] if text.strip() else ""
    if not first.strip():
        raise BadManifest(f"expected {path.name} to begin with a header line. Received: an empty file or line")
    if delimiter == "," and "," not in first and (";" in first or "\t" in first):
        kind = "semicolons" if ";" in first else "tabs"
        raise BadManifest(f"expected {path.name} to be separated by commas. Received: {kind}")
    lines = _lines(text, path, delimiter)
    header = _named([name.strip() for name in lines[0][1]])
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise BadManifest(f"expected each column of {path.name} once. Received: {twice[0]!r} twice")
    for number, cells in lines[1:]:
        if len(cells) != len(header):
            raise BadManifest(
                f"expected {len(header)} fields in line {number} of {path.name}, as in its header. "
                f"Received: {len(cells)}"
            )
    missing = [name for name in required if name not in header]
    if missing:
        raise BadManifest(f"expected {path.name} to have a column {missing[0]!r}. Received: {', '.join(header[:12])}")
    return pd.DataFrame([cells for _, cells in lines[1:]], columns=header, dtype=str)


def read_xlsx(path: Path) -> pd.DataFrame:
    """The first sheet of a workbook, its first row as the header, every cell as text.

    Raises:
        MissingPackage: openpyxl is not installed.
        BadManifest: not a workbook, or one that is too large.
    """
    try:
        import openpyxl
    except ImportError:
        raise MissingPackage("expected openpyxl to read .xlsx files: pip install 'covid-xray[train]'") from None
    if path.stat().st_size > WORKBOOK_BYTES:
        raise BadManifest(
            f"expected a workbook of at most {WORKBOOK_BYTES:,} bytes. Received: {path.name}, a larger one"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # styles and extensions that are of no interest here
            book = openpyxl.load_workbook(path, read_only=True, data_only=True)
            rows = [["" if cell is None else str(cell).strip() for cell in row] for row in book.worksheets[0].values]
            book.close()
    except Exception:  # a damaged archive raises nearly anything
        raise BadManifest(f"expected {path.name} to be an Excel workbook. Received: a file that is not") from None
    if not rows:
        raise BadManifest(f"expected {path.name} to have a header row. Received: an empty sheet")
    width = len(rows[0])
    cells = [[*row, *[""] * width][:width] for row in rows[1:] if any(row)]
    return pd.DataFrame(cells, columns=rows[0], dtype=str)


def patient_text(value: str) -> str:
    """A patient id as text: `12.0` is `12` (a number column with gaps), `007` stays, "unknown" and the like are ""."""
    value = value.strip()
    if value.lower() in UNKNOWN:
        return ""
    return value[:-2] if re.fullmatch(r"\d+\.0", value) else value


def number_column(table: pd.DataFrame, name: str) -> pd.Series:
    """A text column as floats, NaN where it holds no number or the column is not there."""
    if name not in table:
        return pd.Series(float("nan"), index=table.index, name=name)
    return pd.to_numeric(table[name], errors="coerce")


def _named(header: list[str]) -> list[str]:
    blank = 0
    names = []
    for name in header:
        blank += not name
        names.append(name or ("unnamed" if blank == 1 else f"unnamed-{blank}"))
    return names


def _text(path: Path, encodings: Sequence[str]) -> str:
    try:
        data = read_bounded(path, limit=CSV_BYTES)
    except InputRefused as error:
        raise BadManifest(error.message) from None
    except OSError:
        raise BadManifest(f"expected a readable CSV file. Received: {path}, which cannot be opened") from None
    for encoding in encodings:
        with contextlib.suppress(UnicodeDecodeError):
            return data.decode(encoding)
    kind = "UTF-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "another encoding (Latin-1 or Windows-1252?)"
    raise BadManifest(f"expected {path.name} to be UTF-8 text. Received: {kind}")


def _lines(text: str, path: Path, delimiter: str) -> list[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        return [(reader.line_num, cells) for cells in reader if any(cell.strip() for cell in cells)]
    except csv.Error:
        raise BadManifest(
            f"expected {path.name} to be a CSV file. Received: text that breaks off or is quoted wrongly "
            f"near line {reader.line_num}"
        ) from None
