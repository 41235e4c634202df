"""List the inputs of a source: a folder, a DICOM tree, a table (CSV, Parquet or JSON lines), or tar shards.

The order depends on names alone. Only tables are opened.
"""

import codecs
import csv
import io
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from covid_xray.cluster.extras import require_module
from covid_xray.cluster.storage_backends import (
    Storage,
    is_address,
    open_storage,
    readable_name,
    redact_address,
    split_file,
)
from covid_xray.errors import BadManifest, InputRefused
from covid_xray.images.decode import is_image_name

SHARDS = (".tar", ".tar.gz", ".tgz")
TEXT_TABLES = (".csv", ".tsv")
JSON_TABLES = (".jsonl", ".ndjson")
TABLES = (*TEXT_TABLES, *JSON_TABLES, ".parquet")
CHUNK = 1 << 20
COLUMN_NAMES = ("image", "filename", "file_name", "file", "path", "image_path", "image_name")


@dataclass(frozen=True)
class Entry:
    """One input, or one tar shard that holds inputs."""

    name: str  # key of its row: the path below the source, as text
    path: str  # below the storage, as the file system names it
    size: int = 0  # bytes, 0 if unknown
    shard: bool = False
    problem: str = ""  # code of an input that cannot be read


@dataclass
class Listing:
    """The inputs of one source; iterate once. The counts are complete when the stream is read."""

    place: str  # address of the folder that the paths are below
    kind: str  # folder, table or shards
    entries: Iterator[Entry] = field(repr=False)
    passed_over: Counter[str] = field(default_factory=Counter)  # suffix -> files that are no images by name
    repeated: int = 0  # table rows that named an image again


def list_source(source: str, *, images: str | None = None) -> Listing:
    """List a source.

    Args:
        source: folder, table with a column `image` (.csv, .tsv, .parquet, .jsonl, .ndjson), or tar file; a path or an
            address.
        images: for a table, the folder that its names are below; default: the folder of the table.

    Raises:
        InputRefused: nothing is there (also while the stream is read).
        BadManifest: a table without the column, or with names outside the folder.
    """
    bare = source.partition("?")[0] if is_address(source) else source
    if bare.lower().endswith(TABLES):
        folder, name = split_file(source)
        listing = Listing(images or folder, "table", iter(()))
        listing.entries = _entries_of_table(_read_column(open_storage(folder), name), listing)
        if not open_storage(listing.place).is_alive():
            raise InputRefused(f"The folder of images is empty or missing: {redact_address(listing.place)}.")
    elif is_shard(bare):
        folder, name = split_file(source)
        listing = Listing(folder, "shards", iter([Entry(readable_name(name), name, shard=True)]))
    else:
        listing = Listing(source, "folder", iter(()))
        listing.entries = _entries_of_folder(open_storage(source), listing)
    return listing


def is_shard(name: str) -> bool:
    """Return whether the name is that of a tar file."""
    return name.lower().endswith(SHARDS)


def _entries_of_folder(storage: Storage, listing: Listing) -> Iterator[Entry]:
    for found in storage.walk():
        name = readable_name(found.path)
        if is_shard(name):
            yield Entry(name, found.path, found.size, shard=True)
        elif is_image_name(name):
            yield Entry(name, found.path, found.size)
        else:
            listing.passed_over[PurePosixPath(name).suffix.lower() or PurePosixPath(name).name] += 1


def _entries_of_table(cells: Iterator[str], listing: Listing) -> Iterator[Entry]:
    """Yield one entry per distinct name; an empty cell is an input that fails."""
    known: set[bytes] = set()
    for number, cell in enumerate(cells, start=1):
        name = cell.strip().replace("\\", "/")
        if not name:
            yield Entry(f"row {number}", "", problem="no-image")
            continue
        _check_name(name)
        key = name.encode("utf-8", "surrogateescape")
        if key in known:
            listing.repeated += 1
            continue
        known.add(key)
        yield Entry(readable_name(name), name, shard=is_shard(name))


def _check_name(name: str) -> None:
    if is_address(name) or name.startswith("/") or name[1:2] == ":":
        raise BadManifest(
            f"The table has an absolute image path: {redact_address(name)}. Give paths below the folder of --images."
        )
    if ".." in PurePosixPath(name).parts:
        raise BadManifest(f"The table has an image path outside the image folder: {name}. Remove the `..` from it.")


def _read_column(storage: Storage, name: str) -> Iterator[str]:
    """Yield the cells of the image column."""
    kind = PurePosixPath(name).suffix.lower()
    encoding = "" if kind == ".parquet" else _encoding(storage, name)
    with _open(storage, name) as stream:
        if kind == ".parquet":
            yield from _parquet_column(stream, name)
            return
        with io.TextIOWrapper(stream, encoding=encoding, newline="") as text:
            yield from _json_column(text, name) if kind in JSON_TABLES else _text_column(text, name)


def _open(storage: Storage, name: str) -> Any:
    try:
        return storage.stream(name)
    except (OSError, ValueError):
        raise InputRefused(f"Cannot read the table {name}.") from None


def _encoding(storage: Storage, name: str) -> str:
    """Return UTF-16 where the table begins with its mark, UTF-8 where all of it fits, else Windows-1252.

    The table is read twice for this, since a single name late in it may tell.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    with _open(storage, name) as stream:
        chunk = stream.read(CHUNK)
        if chunk[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
            return "utf-16"
        try:
            while chunk:
                decoder.decode(chunk)
                chunk = stream.read(CHUNK)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return "cp1252"
    return "utf-8-sig"


def _text_column(text: io.TextIOWrapper, name: str) -> Iterator[str]:
    """Yield the column of a table whose delimiter is the comma, semicolon or tab, whichever its header has most of."""
    try:
        header = text.readline()
        delimiter = max(",;\t", key=header.count)
        number = _column_index(next(csv.reader([header], delimiter=delimiter), []), name)
        rows = csv.reader(text, delimiter=delimiter)
        yield from (row[number] if number < len(row) else "" for row in rows if row)
    except (csv.Error, UnicodeError):
        raise BadManifest(f"The table {name} is not delimited text.") from None


def _json_column(text: io.TextIOWrapper, name: str) -> Iterator[str]:
    """Yield the image of each line, which holds one JSON object."""
    for number, line in enumerate(text, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            cells = list(row.values())
        except (ValueError, AttributeError, RecursionError):
            raise BadManifest(f"Line {number} of {name} is not a JSON object. Correct the line.") from None
        yield str(cells[_column_index(list(row), name)] or "")


def _parquet_column(stream: Any, name: str) -> Iterator[str]:
    pyarrow, parquet = require_module("pyarrow"), require_module("pyarrow.parquet")
    try:  # a remote stream cannot seek; a table of names is small
        table = parquet.ParquetFile(pyarrow.BufferReader(stream.read()))
    except (pyarrow.ArrowException, OSError):
        raise BadManifest(f"The table {name} is not Parquet.") from None
    column = table.schema_arrow.names[_column_index(table.schema_arrow.names, name)]
    for batch in table.iter_batches(columns=[column]):
        yield from ("" if value is None else str(value) for value in batch.column(0).to_pylist())


def _column_index(header: list[str], name: str) -> int:
    """Find the image column; the header is case-insensitive."""
    known = [cell.strip().lower().replace(" ", "_") for cell in header]
    for column in COLUMN_NAMES:
        if column in known:
            return known.index(column)
    raise BadManifest(f"The table {name} has no column `image`. Its columns: {', '.join(header[:8]) or 'none'}.")
