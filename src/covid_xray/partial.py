"""Create locked temporary files and folders beside their final path, swap folders, and remove leftovers.

Temporary paths are called `.partial-<8 hex digits>-<name>`; a flock keeps them from removal while the writer lives.
"""

import contextlib
import ctypes
import fcntl
import functools
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # linux/fcntl.h, linux/fs.h
_LEFTOVER = re.compile(r"\.partial-[0-9a-f]{8}-(?P<name>.+)", re.DOTALL)


def for_file(path: Path) -> contextlib.AbstractContextManager[Path]:
    """Create an empty temporary file beside `path`; remove whatever has its name when the context ends."""
    return _locked(path, lambda temporary: temporary.touch(exist_ok=False), flags=os.O_RDWR)


def for_folder(path: Path) -> contextlib.AbstractContextManager[Path]:
    """Create an empty temporary folder beside `path`; remove whatever has its name when the context ends."""
    return _locked(path, Path.mkdir, flags=os.O_RDONLY)


def clear(folder: Path, *, name: str | None = None) -> list[Path]:
    """Remove leftovers of killed writers in `folder` (of the target `name` only, if given); return their paths."""
    removed = []
    for path in sorted(folder.glob(".partial-*")):
        found = _LEFTOVER.fullmatch(path.name)
        if found and name in (None, found["name"]) and _remove_unlocked(path):
            removed.append(path)
    return removed


def swap(new: Path, path: Path) -> None:
    """Give the folder `new` the name `path`; the old folder `path` gets the name `new` or is removed.

    One step where the system has renameat2 (Linux); elsewhere two, and a crash between them leaves the old folder as
    `.former-<name>` for `recover`.
    """
    if not path.exists():
        new.replace(path)
    elif not _exchange(new, path):
        former = _former(path)
        path.replace(former)
        try:
            new.replace(path)
        except OSError:
            former.replace(path)
            raise
        _remove(former)


def recover(path: Path) -> None:
    """Repair a `swap` in two steps that a crash interrupted; the caller must be the only writer of `path`."""
    former = _former(path)
    if not former.exists():
        return
    if path.exists():
        shutil.rmtree(former, ignore_errors=True)
    else:
        former.replace(path)


@contextlib.contextmanager
def _locked(path: Path, make: Callable[[Path], None], *, flags: int) -> Iterator[Path]:
    while True:
        temporary = path.with_name(f".partial-{secrets.token_hex(4)}-{path.name}")
        make(temporary)
        try:
            handle = os.open(temporary, flags)
        except FileNotFoundError:  # another process removed it between the two steps
            continue
        except BaseException:
            _remove(temporary)
            raise
        with contextlib.suppress(OSError):  # on a file system without locks nothing is ever cleared
            fcntl.flock(handle, fcntl.LOCK_EX)
        if os.fstat(handle).st_nlink and temporary.exists():
            break
        os.close(handle)
    try:
        yield temporary
    finally:
        _remove(temporary)
        os.close(handle)


def _remove_unlocked(path: Path) -> bool:
    """Remove `path` unless a process holds its lock; return whether it was removed."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _remove(path)
        return True
    except OSError:
        return False
    finally:
        os.close(handle)


def _remove(path: Path) -> None:
    if path.is_dir():
        for _ in range(2):  # a transient disk error must not leave files behind
            shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _former(path: Path) -> Path:
    return path.with_name(f".former-{path.name}")


@functools.cache
def _renameat2() -> Callable[..., int] | None:
    try:
        return getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    except OSError:
        return None


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two names in one step; return False where the system or the file system cannot."""
    call = _renameat2()
    names = (_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), ctypes.c_uint(_RENAME_EXCHANGE))
    return call is not None and call(*names) == 0


def end_of_rows(data: bytes, *, quoted: bool) -> int:
    """Find the end of the last whole row. A newline inside quotes ends no row: quotes are counted up to it."""
    end = data.rfind(b"\n") + 1
    while quoted and end and data.count(b'"', 0, end) % 2:
        end = data.rfind(b"\n", 0, end - 1) + 1
    return end
