"""Read CSV, Excel, Parquet and JSON-lines files into tables of text, with errors that give the line."""

import contextlib
import csv
import io
import json
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
TEXT_ENCODINGS = ("utf-8-sig", "cp1252", "latin-1")
TABLE_SUFFIXES = (".csv", ".tsv", ".txt", ".xlsx", ".parquet", ".jsonl", ".ndjson")
UNKNOWN = {"", "nan", "none", "null", "na", "n/a", "unknown", "todo", "?"}


def read_table(
    path: Path, *, required: Sequence[str] = (), delimiter: str = "", encodings: Sequence[str] = TEXT_ENCODINGS
) -> pd.DataFrame:
    """Read a delimited text file as text columns; the header must hold the `required` names.

    UTF-16 is recognised, else the first of `encodings` that fits is used. Without `delimiter` it is the comma, the
    semicolon or the tab, whichever the header has most of. Columns without a name are called unnamed, unnamed-2, ...

    Raises:
        BadManifest: no text, no header, or rows of another width than the header.
    """
    text = _text(path, encodings)
    first = text.splitlines()[0] if text.strip() else ""
    if not first.strip():
        raise BadManifest(f"{path.name} has no header: it is empty, or begins with an empty line.")
    delimiter = delimiter or max(",;\t", key=first.count)
    lines = _lines(text, path, delimiter)
    if not lines:
        raise BadManifest(f"{path.name} has no header: no line of it holds a field.")
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


def read_any_table(path: Path) -> pd.DataFrame:
    """Read a table as text columns by its suffix: .xlsx, .parquet, .jsonl, .ndjson, else delimited text."""
    readers = {".xlsx": read_xlsx, ".parquet": read_parquet, ".jsonl": read_json_lines, ".ndjson": read_json_lines}
    return readers.get(path.suffix.lower(), read_table)(path)


def read_parquet(path: Path) -> pd.DataFrame:
    """Read a Parquet file of plain columns as text.

    Raises:
        MissingPackage: pyarrow is not installed.
        BadManifest: not a Parquet file, nested columns, or too large.
    """
    try:
        from pyarrow import parquet, types
    except ImportError:
        raise MissingPackage("pyarrow, which reads Parquet files, is missing: pip install pyarrow") from None
    try:
        with parquet.ParquetFile(path) as file:
            groups = [file.metadata.row_group(number) for number in range(file.metadata.num_row_groups)]
            nested = any(types.is_nested(column.type) for column in file.schema_arrow)
            fits = sum(group.total_byte_size for group in groups) <= CSV_BYTES
            rows = file.read().to_pandas() if fits and not nested else None
    except Exception:  # a damaged file raises nearly anything
        raise BadManifest(f"{path.name} is not a readable Parquet file.") from None
    if rows is None:
        raise BadManifest(f"{path.name} has nested columns, or is larger than {CSV_BYTES:,} bytes. Give a flat table.")
    return text_table(rows)


def read_json_lines(path: Path) -> pd.DataFrame:
    """Read a file with one flat JSON object a line as text columns; raise `BadManifest` with the line that is not."""
    rows = []
    for number, line in enumerate(_text(path, ("utf-8-sig",)).splitlines(), start=1):
        try:
            row = json.loads(line) if line.strip() else {}
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict) or any(isinstance(value, dict | list) for value in row.values()):
            raise BadManifest(f"Line {number} of {path.name} is not a flat JSON object. Correct the line.")
        rows += [row] if row else []
    return text_table(pd.DataFrame(rows, dtype=object))


def text_table(table: pd.DataFrame) -> pd.DataFrame:
    """Convert any flat DataFrame to text columns: a missing value becomes "", an index is dropped."""
    missing = table.isna()
    text = table.astype(object).map(lambda value: value.decode() if isinstance(value, bytes) else str(value))
    return text.mask(missing, "").rename(columns=str).reset_index(drop=True).astype(str)


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
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        encodings = ("utf-16",)
    for encoding in encodings:
        with contextlib.suppress(UnicodeDecodeError):
            text = data.decode(encoding)
            if "\0" not in text:
                return text
    raise BadManifest(f"{path.name} is not text. Give a table with a header, such as a CSV in UTF-8.")


def _lines(text: str, path: Path, delimiter: str) -> list[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        return [(reader.line_num, cells) for cells in reader if any(cell.strip() for cell in cells)]
    except csv.Error:
        where = f"near line {reader.line_num}"
        raise BadManifest(f"{path.name} breaks off or is quoted wrongly {where}. Correct the line.") from None
