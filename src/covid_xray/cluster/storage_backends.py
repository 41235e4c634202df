"""List and read files of a local folder, or of an address such as s3:// or gs:// through pyarrow.

A storage is opened from its address on every worker, with the worker's own credentials.
"""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Protocol, cast

from covid_xray.cluster.extras import require_module
from covid_xray.errors import BadImage, InputRefused
from covid_xray.files import is_hidden
from covid_xray.limits import Limits

READ_TRIES = 3


class StoredFile(NamedTuple):
    """A file: its path relative to the storage, as the system names it, and its size in bytes."""

    path: str
    size: int


class Storage(Protocol):
    """A folder of files."""

    def walk(self) -> Iterator[StoredFile]:
        """List all files that are not hidden, folder by folder in code-point order. Raises `InputRefused`."""
        ...

    def read(self, path: str, *, limits: Limits) -> bytes:
        """Read one file. Raises `BadImage` (missing-file, unreadable-file, too-large)."""
        ...

    def stream(self, path: str) -> BinaryIO:
        """Open one file to be read from front to end. Raises `OSError`."""
        ...

    def is_alive(self) -> bool:
        """Return whether the folder exists and holds anything."""
        ...


def open_storage(address: str) -> Storage:
    """Open a folder or an address `scheme://...`. Raises `InputRefused` for an unknown scheme."""
    return ArrowStorage(address) if is_address(address) else LocalStorage(Path(address))


def is_address(source: str) -> bool:
    """Return whether it is an address such as s3://bucket/folder rather than a local path."""
    scheme, mark, _ = source.partition("://")
    return bool(mark) and scheme.isalnum()


def split_file(source: str) -> tuple[str, str]:
    """Split into folder and name: `s3://b/x/list.csv?region=r` is (`s3://b/x?region=r`, `list.csv`)."""
    path, mark, query = source.partition("?") if is_address(source) else (source, "", "")
    folder, _, name = path.rpartition("/")
    return f"{folder or ('/' if path.startswith('/') else '.')}{mark}{query}", name


class LocalStorage:
    """A local folder, or one that every worker has under the same path."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def walk(self) -> Iterator[StoredFile]:
        """See `Storage.walk`."""
        if not self.root.is_dir():
            raise InputRefused(f"No such folder: {self.root}. Give a folder, a table or a tar file that exists.")
        yield from self._walk(self.root, "", frozenset())

    def _walk(self, folder: Path, prefix: str, above: frozenset[Path]) -> Iterator[StoredFile]:
        real = folder.resolve()
        if real in above:  # a link to one of its own parents
            return
        try:
            with os.scandir(folder) as listing:
                entries = sorted((e.name for e in listing if not is_hidden(e.name)), key=os.fsencode)
        except OSError:
            raise InputRefused("A folder below the source cannot be listed. Check its permissions.") from None
        for name in entries:
            path = folder / name
            try:
                facts = path.stat()
            except OSError:  # a dangling link, or deleted meanwhile: it fails when it is read
                yield StoredFile(prefix + name, 0)
                continue
            if stat.S_ISDIR(facts.st_mode):
                yield from self._walk(path, f"{prefix}{name}/", above | {real})
            else:
                yield StoredFile(prefix + name, facts.st_size)

    def read(self, path: str, *, limits: Limits) -> bytes:
        """See `Storage.read`."""
        file = self.root / path
        try:
            if not stat.S_ISREG(file.stat().st_mode):  # a pipe or a device could block
                raise BadImage("Not a regular file.", code="unreadable-file")
            with file.open("rb") as opened:
                return check_size(opened.read(limits.upload_bytes + 1), limits)
        except (FileNotFoundError, NotADirectoryError):
            raise missing_file() from None
        except (OSError, ValueError):
            raise unreadable_file() from None

    def stream(self, path: str) -> BinaryIO:
        """See `Storage.stream`."""
        return (self.root / path).open("rb")

    def is_alive(self) -> bool:
        """See `Storage.is_alive`."""
        try:
            return any(self.root.iterdir())
        except OSError:
            return False


class ArrowStorage:
    """An address that pyarrow can open: s3://, gs://, file:// and others, with options behind a question mark."""

    def __init__(self, address: str) -> None:
        self.address = address
        fs = require_module("pyarrow.fs")
        try:
            self._fs, base = fs.FileSystem.from_uri(address)
        except Exception:  # ArrowInvalid, ValueError, OSError; their text may hold keys of the address
            problem = f"Cannot open the address {redact_address(address)}. Give one such as s3://bucket/folder."
            raise InputRefused(problem) from None
        self._base = base.rstrip("/")

    def walk(self) -> Iterator[StoredFile]:
        """See `Storage.walk`."""
        if self._fs.type_name != "gcs":
            yield from self._walk(self._base)
            return
        # pyarrow shows a gs:// folder only where an object has its name, so everything is listed at once.
        listed = (info for info in self._list(self._base, recursive=True) if info.is_file)
        found = [(self._relative_path(info).split("/"), max(0, info.size or 0)) for info in listed]
        for parts, size in sorted(found, key=lambda one: [_utf8(part) for part in one[0]]):
            if parts[-1] and not any(map(is_hidden, parts)):
                yield StoredFile("/".join(parts), size)
        if not found:
            raise self._refusal("does not exist")

    def _walk(self, folder: str) -> Iterator[StoredFile]:
        for info in sorted(self._list(folder, recursive=False), key=lambda info: _utf8(info.base_name)):
            if is_hidden(info.base_name):
                continue
            if not info.is_file:
                yield from self._walk(info.path)
            elif info.base_name:
                yield StoredFile(self._relative_path(info), max(0, info.size or 0))

    def _list(self, folder: str, *, recursive: bool) -> list[Any]:
        try:
            return list(self._fs.get_file_info(require_module("pyarrow.fs").FileSelector(folder, recursive=recursive)))
        except FileNotFoundError:
            raise self._refusal("does not exist") from None
        except Exception:  # clients of object stores raise many types
            raise self._refusal("cannot be listed") from None

    def _refusal(self, problem: str) -> InputRefused:
        return InputRefused(f"The address {redact_address(self.address)} {problem}. Check it and its credentials.")

    def _relative_path(self, info: Any) -> str:
        return str(info.path)[len(self._base) :].lstrip("/")

    def read(self, path: str, *, limits: Limits) -> bytes:
        """See `Storage.read`."""
        for _ in range(READ_TRIES):  # on top of the tries of the store's client
            try:
                with self._fs.open_input_stream(f"{self._base}/{path}") as opened:
                    return check_size(opened.read(limits.upload_bytes + 1), limits)
            except FileNotFoundError:
                raise missing_file() from None
            except OSError:
                continue
        raise unreadable_file()

    def stream(self, path: str) -> BinaryIO:
        """See `Storage.stream`."""
        return cast(BinaryIO, self._fs.open_input_stream(f"{self._base}/{path}", buffer_size=1 << 20))

    def is_alive(self) -> bool:
        """See `Storage.is_alive`."""
        try:
            return bool(self._list(self._base, recursive=False))
        except InputRefused:
            return False


def check_size(data: bytes, limits: Limits) -> bytes:
    """Return the bytes unless they exceed the limit of a file. Raises `BadImage`."""
    if len(data) > limits.upload_bytes:
        raise BadImage(f"The file is larger than {limits.upload_bytes:,} bytes.", code="too-large")
    return data


def missing_file() -> BadImage:
    """Return the error for a file that does not exist."""
    return BadImage("No such file.", code="missing-file")


def unreadable_file() -> BadImage:
    """Return the error for a file that cannot be read."""
    return BadImage("The file cannot be read.", code="unreadable-file")


def redact_address(address: str) -> str:
    """Return the address without its options and without the key before the @, which may be secret."""
    scheme, mark, rest = address.partition("?")[0].partition("://")
    return f"{scheme}{mark}{rest.rpartition('@')[2]}"


def readable_name(path: str) -> str:
    """Write bytes of a path that are not UTF-8 as \\udcXX, as in the JSON of `predict`."""
    return path.encode("utf-8", "backslashreplace").decode("utf-8")


def _utf8(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")
