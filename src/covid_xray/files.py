"""Write files and folders atomically, read them with a size limit, hash and lock them.

Writers use a temporary name in the same folder, fsync it, rename it, then fsync the folder. Only regular files are
replaced: a FIFO, a device and standard output (`-`) are written into, and a link keeps pointing to its file.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from covid_xray import partial
from covid_xray.errors import BadManifest, Busy, CovidXrayError, InputRefused, UsageError

CHUNK = 1 << 20  # bytes
STDOUT = Path("-")


def sha256_bytes(*parts: bytes | memoryview) -> str:
    """Return the SHA-256 of these bytes, one after the other, as 64 hexadecimal digits."""
    digest = hashlib.sha256(*parts[:1])
    for part in parts[1:]:
        digest.update(part)
    return digest.hexdigest()


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


def is_stdout(path: Path) -> bool:
    """Return whether `path` is standard output: `-`, /dev/stdout, or the file that it was redirected to."""
    try:
        return path == STDOUT or os.path.samestat(path.stat(), os.fstat(1))
    except OSError:
        return False


def is_stream(path: Path) -> bool:
    """Return whether `path` is written into instead of replaced: standard output, a FIFO, a device, a socket."""
    try:
        mode = 0 if path == STDOUT else path.stat().st_mode
    except OSError:
        return False
    return is_stdout(path) or not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def require_file_target(path: Path) -> None:
    """Raise `UsageError` when `path` is a folder, so that no file can be written to it; for checks before long work."""
    if path.is_dir():
        raise UsageError(f"{path} is a folder. Give the name of a file.")


def make_folder(folder: Path) -> None:
    """Make `folder` and its parents. Raises `UsageError` when it, or a parent, is a file, a FIFO or a device."""
    if folder == STDOUT:
        raise UsageError("Standard output (-) holds one file, and this command writes several. Give a folder.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise UsageError(f"{folder} is not a folder, or lies below a file. Give the name of a folder.") from None


def is_hidden(name: str) -> bool:
    """Return whether a file or folder is hidden or left by an operating system."""
    return name.startswith(".") or name in ("__MACOSX", "Thumbs.db", "desktop.ini")


def is_hidden_entry(name: str) -> bool:
    """Return whether an entry of an archive is hidden, or lies in a hidden folder."""
    return any(is_hidden(part) for part in PurePosixPath(name).parts if part not in ("..", "."))


def files_below(root: Path) -> list[str]:
    """List the relative posix paths of all files below `root` but hidden ones, sorted.

    Links to folders are followed, except to one of their own parents. Raises `BadManifest` for a folder that cannot
    be listed.
    """
    return sorted(_walk(root, prefix="", above=frozenset()))


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path with the same suffix; on success it becomes `path`, on failure it is removed.

    A regular file is replaced in one step, behind a link too. A stream (`is_stream`) gets the bytes of the file.

    Raises:
        UsageError: `path` is a folder, or lies below a file.
    """
    if is_stream(path):
        with tempfile.TemporaryDirectory() as folder, _naming(path):
            yield Path(folder, path.name)
            _copy_into(path, Path(folder, path.name))
        return
    require_file_target(path)
    path = path.resolve() if path.is_symlink() else path
    make_folder(path.parent)
    with partial.for_file(path) as temporary, _naming(path):
        yield temporary
        with temporary.open("rb+") as stream:
            os.fsync(stream.fileno())
        temporary.replace(path)
        fsync_folder(path.parent)


@contextlib.contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty temporary folder; on success fsync its files and give it the name `folder`.

    An existing folder of that name, behind a link too, is exchanged in one step and removed last. Leftovers of killed
    processes are removed first. Raises `UsageError` when `folder` is a file, a FIFO or a device.
    """
    folder = folder.resolve() if folder.is_symlink() else folder
    if folder.exists():
        make_folder(folder)
    make_folder(folder.parent)
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
def folder_lock(folder: Path, *, scratch: Collection[str] = ()) -> Iterator[None]:
    """Lock `folder` for this process by flock, which ends with the process. Raises `Busy` with the holder's id.

    A folder that was made here is removed when a `CovidXrayError` ends the work before it holds more than `scratch`.
    """
    made = not folder.exists()
    try:
        with _locked(folder):
            yield
    except CovidXrayError:
        if made and folder.is_dir() and {path.name for path in folder.iterdir()} <= {".lock", *scratch}:
            shutil.rmtree(folder, ignore_errors=True)
        raise


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    make_folder(folder)
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


def _walk(folder: Path, *, prefix: str, above: frozenset[Path]) -> Iterator[str]:
    real = folder.resolve()
    if real in above:
        return
    try:
        listing = os.scandir(folder)
    except OSError:
        raise BadManifest(f"The folder {folder} cannot be listed. Check its permissions.") from None
    with listing as entries:
        for entry in entries:
            if is_hidden(entry.name):
                continue
            if entry.is_dir():
                yield from _walk(Path(entry.path), prefix=f"{prefix}{entry.name}/", above=above | {real})
            else:
                yield f"{prefix}{entry.name}"


def _copy_into(path: Path, source: Path) -> None:
    """Write the bytes of `source` into a stream, which is neither created nor cut."""
    with source.open("rb") as data:
        if is_stdout(path):
            sys.stdout.flush()
            shutil.copyfileobj(data, sys.stdout.buffer)
            sys.stdout.buffer.flush()
            return
        with os.fdopen(os.open(path, os.O_WRONLY), "wb") as stream:
            shutil.copyfileobj(data, stream)


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
