"""Files that are either the old one or the new one, never half of each.

Writers go to a temporary name in the same folder, fsync, rename, then fsync the folder. Readers are bounded.
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

CHUNK = 1 << 20


def sha256_bytes(data: bytes) -> str:
    """SHA-256 of `data` as 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """SHA-256 of a file as 64 hexadecimal digits, read in chunks of 1 MiB."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def read_bounded(path: Path, *, limit: int) -> bytes:
    """The file's bytes. Raises `InputRefused` (code `too-large`) when it holds more than `limit` bytes."""
    with path.open("rb") as stream:
        data = stream.read(limit + 1)
    if len(data) > limit:
        raise InputRefused(f"expected a file of at most {limit:,} bytes. Received: a larger one", code="too-large")
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
    """Yield a temporary path beside `path`; on success fsync it and rename it over `path`, on failure remove it.

    The temporary name keeps the suffix of `path`, since some writers choose the format by it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with partial.for_file(path) as temporary, _naming(path):
        yield temporary
        with temporary.open("rb+") as stream:
            os.fsync(stream.fileno())
        temporary.replace(path)
        fsync_folder(path.parent)


@contextlib.contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty temporary folder beside `folder`; on success its files are fsynced and it takes the name.

    A folder of that name that was there before changes places with it in one step and is removed last. What killed
    processes left of earlier attempts is cleared first.
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
    """Write `value` as indented JSON with a final newline, atomically. NaN is refused (it is not JSON)."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n")


@contextlib.contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Hold `folder` for this process; raises `Busy` naming the holder when another process has it.

    The lock is the kernel's (flock), so a killed process leaves none behind.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("a+", encoding="utf-8") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            stream.seek(0)
            holder = stream.read().strip() or "unknown"
            raise Busy(f"expected {folder} to be free. Received: it is in use by process {holder}") from None
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
    """A full disk or a failing one is reported with the name of what could not be written."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = str(path)
        raise


def shown(text: object) -> str:
    """Text that can be written as UTF-8: file names may hold bytes that are no character."""
    return str(text).encode("utf-8", errors="backslashreplace").decode("utf-8")
