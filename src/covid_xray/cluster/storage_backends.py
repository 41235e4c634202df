"""Where radiographs lie: a folder on this machine, or an address such as s3:// or gs:// through pyarrow.

Comes in: what a user names. Goes out: names of files in a stable order, and the bytes of one of them under a limit.
A `Place` is opened anew from its address on every worker, which brings its own credentials.
"""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Protocol, cast

from covid_xray.cluster.extras import need
from covid_xray.errors import BadImage, InputRefused
from covid_xray.limits import Limits

READ_TRIES = 3


class Found(NamedTuple):
    """A file below a place: its path relative to it, as the system has it, and its size in bytes."""

    path: str
    size: int


class Place(Protocol):
    """A folder of files, here or elsewhere."""

    def walk(self) -> Iterator[Found]:
        """All files below, hidden ones left out, folder by folder in code-point order. Raises `InputRefused`."""
        ...

    def read(self, path: str, *, limits: Limits) -> bytes:
        """The bytes of one file. Raises `BadImage` (missing-file, unreadable-file, too-large)."""
        ...

    def stream(self, path: str) -> BinaryIO:
        """One file, opened to be read from its beginning. Raises `OSError`."""
        ...

    def is_alive(self) -> bool:
        """Whether the place is still there and holds anything."""
        ...


def open_place(address: str) -> Place:
    """The place behind a folder or an address `scheme://...`. Raises `InputRefused` for an address of no known form."""
    return ArrowPlace(address) if is_address(address) else LocalPlace(Path(address))


def is_address(source: str) -> bool:
    """Whether it is an address such as s3://bucket/folder rather than a path of this machine."""
    scheme, mark, _ = source.partition("://")
    return bool(mark) and scheme.isalnum()


def split_file(source: str) -> tuple[str, str]:
    """Folder and name of a file: `s3://b/x/list.csv?region=r` is (`s3://b/x?region=r`, `list.csv`)."""
    path, mark, query = source.partition("?") if is_address(source) else (source, "", "")
    folder, _, name = path.rpartition("/")
    return f"{folder or ('/' if path.startswith('/') else '.')}{mark}{query}", name


def is_shadow(name: str) -> bool:
    """Hidden, or what an operating system leaves beside files."""
    return name.startswith(".") or name in ("__MACOSX", "Thumbs.db")


class LocalPlace:
    """A folder of this machine, or of one that every worker has under the same path."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def walk(self) -> Iterator[Found]:
        """As `Place.walk`."""
        if not self.root.is_dir():
            raise InputRefused(f"expected a folder, a table or a tar file. Received: {self.root}, which is not there")
        yield from self._walk(self.root, "", frozenset())

    def _walk(self, folder: Path, prefix: str, above: frozenset[Path]) -> Iterator[Found]:
        real = folder.resolve()
        if real in above:  # a link that points at one of its own parents
            return
        try:
            with os.scandir(folder) as listing:
                entries = sorted((e.name for e in listing if not is_shadow(e.name)), key=os.fsencode)
        except OSError:
            raise InputRefused("expected folders that can be listed. Received: one that cannot") from None
        for name in entries:
            path = folder / name
            try:
                facts = path.stat()
            except OSError:  # a link to nothing, or gone since: it is named, and fails when it is read
                yield Found(prefix + name, 0)
                continue
            if stat.S_ISDIR(facts.st_mode):
                yield from self._walk(path, f"{prefix}{name}/", above | {real})
            else:
                yield Found(prefix + name, facts.st_size)

    def read(self, path: str, *, limits: Limits) -> bytes:
        """As `Place.read`."""
        file = self.root / path
        try:
            # A pipe or a device could block or never end.
            if not stat.S_ISREG(file.stat().st_mode):
                raise BadImage("expected a regular file. Received: something else", code="unreadable-file")
            with file.open("rb") as opened:
                return bounded(opened.read(limits.upload_bytes + 1), limits)
        except (FileNotFoundError, NotADirectoryError):
            raise missing() from None
        except (OSError, ValueError):
            raise unreadable() from None

    def stream(self, path: str) -> BinaryIO:
        """As `Place.stream`."""
        return (self.root / path).open("rb")

    def is_alive(self) -> bool:
        """As `Place.is_alive`."""
        try:
            with os.scandir(self.root) as listing:
                return any(True for _ in listing)
        except OSError:
            return False


class ArrowPlace:
    """An address that pyarrow can open: s3://, gs://, file:// and others, with options behind a question mark."""

    def __init__(self, address: str) -> None:
        self.address = address
        fs = need("pyarrow.fs")
        try:
            self._fs, base = fs.FileSystem.from_uri(address)
        except Exception:  # ArrowInvalid, ValueError, OSError; their text may hold keys of the address
            raise InputRefused(
                f"expected an address that pyarrow can open, such as s3://bucket/folder. Received: {shown(address)}"
            ) from None
        self._base = base.rstrip("/")

    def walk(self) -> Iterator[Found]:
        """As `Place.walk`."""
        # pyarrow shows a folder of gs:// only where somebody made an object of its name, so all is listed at once.
        if self._fs.type_name == "gcs":
            listed = (info for info in self._listed(self._base, recursive=True) if info.is_file)
            found = [(self._below(info).split("/"), max(0, info.size or 0)) for info in listed]
            for parts, size in sorted(
                found, key=lambda one: [part.encode("utf-8", "surrogateescape") for part in one[0]]
            ):
                if parts[-1] and not any(map(is_shadow, parts)):
                    yield Found("/".join(parts), size)
            if not found:
                raise self._not_listed("is not there")
        else:
            yield from self._walk(self._base)

    def _walk(self, folder: str) -> Iterator[Found]:
        infos = self._listed(folder, recursive=False)
        for info in sorted(infos, key=lambda info: info.base_name.encode("utf-8", "surrogateescape")):
            if is_shadow(info.base_name):
                continue
            if not info.is_file:
                yield from self._walk(info.path)
            elif info.base_name:
                yield Found(self._below(info), max(0, info.size or 0))

    def _listed(self, folder: str, *, recursive: bool) -> list[Any]:
        try:
            infos = self._fs.get_file_info(need("pyarrow.fs").FileSelector(folder, recursive=recursive))
        except FileNotFoundError:
            raise self._not_listed("is not there") from None
        except Exception:  # whatever the client of the store raises
            raise self._not_listed("cannot be listed") from None
        return list(infos)

    def _not_listed(self, why: str) -> InputRefused:
        return InputRefused(f"expected a place that can be listed. Received: {shown(self.address)}, which {why}")

    def _below(self, info: Any) -> str:
        return str(info.path)[len(self._base) :].lstrip("/")

    def read(self, path: str, *, limits: Limits) -> bytes:
        """As `Place.read`."""
        for left in reversed(range(READ_TRIES)):  # on top of what the client of the file system tries by itself
            try:
                with self._fs.open_input_stream(self._full(path)) as opened:
                    return bounded(opened.read(limits.upload_bytes + 1), limits)
            except FileNotFoundError:
                raise missing() from None
            except OSError:
                if not left:
                    raise unreadable() from None
        raise unreadable()

    def stream(self, path: str) -> BinaryIO:
        """As `Place.stream`."""
        return cast(BinaryIO, self._fs.open_input_stream(self._full(path), buffer_size=1 << 20))

    def is_alive(self) -> bool:
        """As `Place.is_alive`."""
        try:
            return bool(self._fs.get_file_info(need("pyarrow.fs").FileSelector(self._base)))
        except Exception:
            return False

    def _full(self, path: str) -> str:
        return f"{self._base}/{path}"


def bounded(data: bytes, limits: Limits) -> bytes:
    """The bytes, unless they are more than a file may have. Raises `BadImage`."""
    if len(data) > limits.upload_bytes:
        raise BadImage(
            f"expected a file of at most {limits.upload_bytes:,} bytes. Received: a larger one", code="too-large"
        )
    return data


def missing() -> BadImage:
    """A file that was named and is not there."""
    return BadImage("expected the file that was named. Received: no such file", code="missing-file")


def unreadable() -> BadImage:
    """A file that the system refuses to hand over."""
    return BadImage("expected a file that can be read. Received: a read error", code="unreadable-file")


def shown(address: str) -> str:
    """The address without its options and without a key before the @: those may be secret."""
    scheme, mark, rest = address.partition("?")[0].partition("://")
    return f"{scheme}{mark}{rest.rpartition('@')[2]}"


def readable_name(path: str) -> str:
    """A path as it is written to tables: bytes that are no UTF-8 as \\udcXX, as in the JSON of `predict`."""
    return path.encode("utf-8", "backslashreplace").decode("utf-8")
