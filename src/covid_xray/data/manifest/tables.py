"""Read CSV and Excel files into tables of text, with errors that give the line."""

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
# Not patient ids: otherwise all unknown patients would be one person.
UNKNOWN = {"", "nan", "none", "null", "na", "n/a", "unknown", "todo", "?"}


def read_table(
    path: Path, *, required: Sequence[str] = (), delimiter: str = ",", encodings: Sequence[str] = ("utf-8-sig",)
) -> pd.DataFrame:
    """Read a delimited text file as text columns; the header must hold the `required` names.

    The first of `encodings` that fits is used. Columns without a name are called unnamed, unnamed-2, ...

    Raises:
        BadManifest: another encoding or delimiter, no header, or rows of another width than the header.
    """
    text = _text(path, encodings)
    first = text.splitlines()[0] if text.strip() else ""
    if not first.strip():
        raise BadManifest(f"{path.name} has no header: it is empty, or begins with an empty line.")
    if delimiter == "," and "," not in first and (";" in first or "\t" in first):
        kind = "semicolons" if ";" in first else "tabs"
        raise BadManifest(f"{path.name} is separated by {kind}. Save it separated by commas.")
    lines = _lines(text, path, delimiter)
    header = _name_unnamed([name.strip() for name in lines[0][1]])
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise BadManifest(f"{path.name} has the column {twice[0]!r} twice. Rename one of them.")
    for number, cells in lines[1:]:
        if len(cells) != len(header):
            raise BadManifest(
                f"Line {number} of {path.name} has {len(cells)} fields, its header {len(header)}. Correct the line."
            )
    missing = [name for name in required if name not in header]
    if missing:
        raise BadManifest(f"{path.name} has no column {missing[0]!r}. It has {', '.join(header[:12])}.")
    return pd.DataFrame([cells for _, cells in lines[1:]], columns=header, dtype=str)


def read_xlsx(path: Path) -> pd.DataFrame:
    """Read the first sheet of a workbook as text, its first row as the header.

    Raises:
        MissingPackage: openpyxl is not installed.
        BadManifest: not a workbook, or too large.
    """
    try:
        import openpyxl
    except ImportError:
        raise MissingPackage("openpyxl, which reads .xlsx files, is missing: pip install 'covid-xray[train]'") from None
    if path.stat().st_size > WORKBOOK_BYTES:
        raise BadManifest(f"The workbook {path.name} is larger than {WORKBOOK_BYTES:,} bytes.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # unsupported styles and extensions do not matter here
            book = openpyxl.load_workbook(path, read_only=True, data_only=True)
            rows = [["" if cell is None else str(cell).strip() for cell in row] for row in book.worksheets[0].values]
            book.close()
    except Exception:  # a damaged archive raises nearly anything
        raise BadManifest(f"{path.name} is not a readable Excel workbook.") from None
    if not rows:
        raise BadManifest(f"The first sheet of {path.name} is empty.")
    width = len(rows[0])
    cells = [[*row, *[""] * width][:width] for row in rows[1:] if any(row)]
    return pd.DataFrame(cells, columns=rows[0], dtype=str)


def patient_text(value: str) -> str:
    """Normalise a patient id: `12.0` is `12` (a number column with gaps), `007` stays, "unknown" is ""."""
    value = value.strip()
    if value.lower() in UNKNOWN:
        return ""
    return value[:-2] if re.fullmatch(r"\d+\.0", value) else value


def number_column(table: pd.DataFrame, name: str) -> pd.Series:
    """Convert a text column to floats, NaN where it holds no number or the column is missing."""
    if name not in table:
        return pd.Series(float("nan"), index=table.index, name=name)
    return pd.to_numeric(table[name], errors="coerce")


def _name_unnamed(header: list[str]) -> list[str]:
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
        raise BadManifest(f"{path.name}: {error.message}") from None
    except OSError:
        raise BadManifest(f"The CSV file {path} cannot be opened.") from None
    for encoding in encodings:
        with contextlib.suppress(UnicodeDecodeError):
            return data.decode(encoding)
    kind = "UTF-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "probably Latin-1 or Windows-1252"
    raise BadManifest(f"{path.name} is not UTF-8 text but {kind}. Save it as UTF-8.")


def _lines(text: str, path: Path, delimiter: str) -> list[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        return [(reader.line_num, cells) for cells in reader if any(cell.strip() for cell in cells)]
    except csv.Error:
        where = f"near line {reader.line_num}"
        raise BadManifest(f"{path.name} breaks off or is quoted wrongly {where}. Correct the line.") from None
