"""Files and folders that are being written: a name beside the final one, a lock that dies with its writer, the swap.

A path in; a temporary path out, called `.partial-<8 hex digits>-<name>`, that nobody clears while its writer lives.
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
    """A new empty file beside `path` while the context lasts; whatever has its name at the end is removed."""
    return _claimed(path, lambda temporary: temporary.touch(exist_ok=False), flags=os.O_RDWR)


def for_folder(path: Path) -> contextlib.AbstractContextManager[Path]:
    """As `for_file`, a new empty folder."""
    return _claimed(path, Path.mkdir, flags=os.O_RDONLY)


def clear(folder: Path, *, name: str | None = None) -> list[Path]:
    """Remove what killed processes left half written in `folder`; returns what was removed.

    Args:
        folder: looked at, not below.
        name: only attempts at this name; default: at any.
    """
    removed = []
    for path in sorted(folder.glob(".partial-*")):
        found = _LEFTOVER.fullmatch(path.name)
        if found and name in (None, found["name"]) and _is_dead(path):
            removed.append(path)
    return removed


def swap(new: Path, path: Path) -> None:
    """Give the folder `new` the name `path`; what had that name gets the name `new`, or is gone.

    One step where the system has renameat2 (Linux); elsewhere two, between which a crash leaves the old folder as
    `.former-<name>`, where `recover` finds it.
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
    """Undo a `swap` in two steps that a crash cut in half; the caller is the only writer of `path`."""
    former = _former(path)
    if not former.exists():
        return
    if path.exists():
        shutil.rmtree(former, ignore_errors=True)
    else:
        former.replace(path)


@contextlib.contextmanager
def _claimed(path: Path, make: Callable[[Path], None], *, flags: int) -> Iterator[Path]:
    while True:
        temporary = path.with_name(f".partial-{secrets.token_hex(4)}-{path.name}")
        make(temporary)
        try:
            handle = os.open(temporary, flags)
        except FileNotFoundError:  # cleared by somebody between the two steps: take another name
            continue
        except BaseException:
            _remove(temporary)
            raise
        with contextlib.suppress(OSError):  # a file system without locks: nothing is ever cleared there
            fcntl.flock(handle, fcntl.LOCK_EX)
        if os.fstat(handle).st_nlink and temporary.exists():
            break
        os.close(handle)
    try:
        yield temporary
    finally:
        _remove(temporary)
        os.close(handle)


def _is_dead(path: Path) -> bool:
    """Whether no process holds `path`; if so it is removed while we hold it."""
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
        for _ in range(2):  # a disk that fails once must not leave litter
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
    """Let two names change places in one step; False where the system or the file system cannot."""
    call = _renameat2()
    names = (_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), ctypes.c_uint(_RENAME_EXCHANGE))
    return call is not None and call(*names) == 0
