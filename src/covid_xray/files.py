"""Write files and folders atomically, read them with a size limit, hash and lock them.

Writers use a temporary name in the same folder, fsync it, rename it, then fsync the folder.
"""

import contextlib
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from covid_xray import partial
from covid_xray.errors import Busy, InputRefused

CHUNK = 1 << 20  # bytes


def sha256_bytes(data: bytes) -> str:
    """Return the SHA-256 of `data` as 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read_bounded(path: Path, *, limit: int) -> bytes:
    """Return the file's bytes. Raises `InputRefused` (code `too-large`) when there are more than `limit`."""
    with path.open("rb") as stream:
        data = stream.read(limit + 1)
    if len(data) > limit:
        raise InputRefused(f"The file is larger than {limit:,} bytes.", code="too-large")
    return data


def fsync_folder(folder: Path) -> None:
    """Make renames inside `folder` durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path with the same suffix; on success rename it over `path`, on failure remove it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with partial.for_file(path) as temporary, _naming(path):
        yield temporary
        with temporary.open("rb+") as stream:
            os.fsync(stream.fileno())
        temporary.replace(path)
        fsync_folder(path.parent)


@contextlib.contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty temporary folder; on success fsync its files and give it the name `folder`.

    An existing folder of that name is exchanged in one step and removed last. Leftovers of killed processes are
    removed first.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial.recover(folder)
    partial.clear(folder.parent, name=folder.name)
    with partial.for_folder(folder) as temporary, _naming(folder):
        yield temporary
        _fsync_tree(temporary)
        partial.swap(temporary, folder)
        fsync_folder(folder.parent)


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8, atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically. Raises `ValueError` for NaN, which is not JSON."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n")


@contextlib.contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Lock `folder` for this process by flock, which ends with the process. Raises `Busy` with the holder's id."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("a+", encoding="utf-8") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            stream.seek(0)
            holder = stream.read().strip() or "unknown"
            raise Busy(f"{folder} is in use by process {holder}. Wait until it ends.") from None
        stream.truncate(0)
        stream.write(str(os.getpid()))
        stream.flush()
        yield


def _fsync_tree(folder: Path) -> None:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            with path.open("rb+") as stream:
                os.fsync(stream.fileno())
    for path in [folder, *folder.rglob("*")]:
        if path.is_dir():
            fsync_folder(path)


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Add the name of the target to an `OSError` without one, such as a full disk."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = str(path)
        raise


def shown(text: object) -> str:
    """Return `text` with bytes that are no UTF-8 escaped, as in some file names."""
    return str(text).encode("utf-8", errors="backslashreplace").decode("utf-8")
