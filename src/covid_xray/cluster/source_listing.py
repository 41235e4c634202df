"""What a user names as SOURCE in, the inputs to score out: a folder, a DICOM tree, a CSV or Parquet table, tar shards.

Inputs come as a stream in an order that depends on their names alone. Nothing is decoded or opened here but a table.
"""

import csv
import io
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from covid_xray.cluster.extras import need
from covid_xray.cluster.storage_backends import (
    Place,
    is_address,
    is_shadow,
    open_place,
    readable_name,
    shown,
    split_file,
)
from covid_xray.errors import BadManifest, InputRefused
from covid_xray.images.decode import SUFFIXES

SHARDS = (".tar", ".tar.gz", ".tgz")
TABLES = (".csv", ".parquet")
COLUMN = ("image", "filename", "file_name", "file", "path", "image_path", "image_name")
NO_IMAGE_NAMES = frozenset({"DICOMDIR"})  # an index of a DICOM medium: it has the mark of DICOM and no pixels


@dataclass(frozen=True)
class Entry:
    """One input, or one tar shard that holds inputs.

    Args:
        name: the key of its row: the path below the source, as text.
        path: where its bytes are below the place, as the file system has it.
        size: bytes, 0 where the source does not say.
        shard: whether it is a tar file whose members are the inputs.
        problem: a code: it is known to fail before it is read.
    """

    name: str
    path: str
    size: int = 0
    shard: bool = False
    problem: str = ""


@dataclass
class Listing:
    """The inputs of one source; iterate once.

    Args:
        place: address of the folder that the paths are below.
        kind: folder, table or shards.
        entries: the stream.
        passed_over: suffix -> files that are no images by their names, filled while the stream is read.
        repeated: rows of a table that named an image again, counted likewise.
    """

    place: str
    kind: str
    entries: Iterator[Entry] = field(repr=False)
    passed_over: Counter[str] = field(default_factory=Counter)
    repeated: int = 0


def list_source(source: str, *, images: str | None = None) -> Listing:
    """The listing of SOURCE.

    Args:
        source: a folder, a .csv or .parquet table with a column `image`, a tar file; of this machine or an address.
        images: of a table: the folder that its names are below; default: the folder of the table.

    Raises:
        InputRefused: nothing is there (also while the stream is read).
        BadManifest: a table without the column, or with names that leave the folder.
    """
    bare = source.partition("?")[0] if is_address(source) else source
    if bare.lower().endswith(TABLES):
        folder, name = split_file(source)
        listing = Listing(images or folder, "table", iter(()))
        listing.entries = _named(_column(open_place(folder), name), listing)
        if not open_place(listing.place).is_alive():
            raise InputRefused(
                f"expected a folder of images. Received: {shown(listing.place)}, which is empty or not there"
            )
    elif is_shard(bare):
        folder, name = split_file(source)
        listing = Listing(folder, "shards", iter([Entry(readable_name(name), name, shard=True)]))
    else:
        listing = Listing(source, "folder", iter(()))
        listing.entries = _walked(open_place(source), listing)
    return listing


def is_shard(name: str) -> bool:
    """Whether a file of this name is a tar file."""
    return name.lower().endswith(SHARDS)


def is_image_name(name: str) -> bool:
    """Whether a file of this name may be PNG, JPEG or DICOM; the latter often has no suffix, or digits of its UID."""
    path = PurePosixPath(name)
    suffix = path.suffix.lower()
    if is_shadow(path.name) or path.name.upper() in NO_IMAGE_NAMES:
        return False
    return not suffix or suffix[1:].isdigit() or suffix in SUFFIXES


def _walked(place: Place, listing: Listing) -> Iterator[Entry]:
    for found in place.walk():
        name = readable_name(found.path)
        if is_shard(name):
            yield Entry(name, found.path, found.size, shard=True)
        elif is_image_name(name):
            yield Entry(name, found.path, found.size)
        else:
            listing.passed_over[PurePosixPath(name).suffix.lower() or PurePosixPath(name).name] += 1


def _named(cells: Iterator[str], listing: Listing) -> Iterator[Entry]:
    """One entry for each distinct name of a table; an empty cell is an input that fails."""
    seen: set[bytes] = set()
    for number, cell in enumerate(cells, start=1):
        name = cell.strip().replace("\\", "/")
        if not name:
            yield Entry(f"row {number}", "", problem="no-image")
            continue
        _check_name(name)
        key = name.encode("utf-8", "surrogateescape")
        if key in seen:
            listing.repeated += 1
            continue
        seen.add(key)
        yield Entry(readable_name(name), name, shard=is_shard(name))


def _check_name(name: str) -> None:
    if is_address(name) or name.startswith("/") or name[1:2] == ":":
        raise BadManifest(
            f"expected image paths relative to the image folder, which --images names. Received: {shown(name)}"
        )
    if ".." in PurePosixPath(name).parts:
        raise BadManifest(f"expected image paths inside the image folder. Received: {name}, which leaves it")


def _column(place: Place, name: str) -> Iterator[str]:
    """The cells of the column that names the images, as a stream."""
    try:
        stream = place.stream(name)
    except (OSError, ValueError):
        raise InputRefused(f"expected a table that can be read. Received: {name}, which cannot") from None
    with stream:
        yield from _parquet_column(stream, name) if name.lower().endswith(".parquet") else _csv_column(stream, name)


def _csv_column(stream: Any, name: str) -> Iterator[str]:
    try:
        with io.TextIOWrapper(stream, encoding="utf-8-sig", newline="") as text:
            rows = csv.reader(text)
            number = _position(next(rows, []), name)
            yield from (row[number] if number < len(row) else "" for row in rows if row)
    except (csv.Error, UnicodeDecodeError):
        raise BadManifest(f"expected {name} to be CSV in UTF-8. Received: something else") from None


def _parquet_column(stream: Any, name: str) -> Iterator[str]:
    pyarrow, parquet = need("pyarrow"), need("pyarrow.parquet")
    try:
        # A stream of a remote store cannot seek; a table of names is small beside its radiographs.
        table = parquet.ParquetFile(pyarrow.BufferReader(stream.read()))
    except (pyarrow.ArrowException, OSError):
        raise BadManifest(f"expected {name} to be Parquet. Received: something else") from None
    column = table.schema_arrow.names[_position(table.schema_arrow.names, name)]
    for batch in table.iter_batches(columns=[column]):
        yield from ("" if value is None else str(value) for value in batch.column(0).to_pylist())


def _position(header: list[str], name: str) -> int:
    """Where the column of image names is; a header is case-insensitive, as in every manifest of the house."""
    known = [cell.strip().lower().replace(" ", "_") for cell in header]
    for wanted in COLUMN:
        if wanted in known:
            return known.index(wanted)
    raise BadManifest(f"expected {name} to have a column image. Received: {', '.join(header[:8]) or 'no header'}")
