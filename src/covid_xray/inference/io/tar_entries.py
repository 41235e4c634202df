"""List and read the images of tar archives, plain or compressed, under limits; nothing is unpacked to disk."""

import atexit
import bz2
import gzip
import io
import lzma
import tarfile
import threading
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import IO, Any, BinaryIO

from covid_xray.errors import BadImage, InputRefused
from covid_xray.files import CHUNK, is_hidden_entry
from covid_xray.images.decode import HEAD_BYTES, why_passed_over
from covid_xray.limits import Limits

DAMAGED = "The tar archive is damaged."
_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
_COMPRESSED: Mapping[bytes, Callable[..., Any]] = {b"\x1f\x8b": gzip.open, b"BZ": bz2.open, b"\xfd7": lzma.open}
_LOCK = threading.Lock()  # an open archive has one position


def is_tar(path: Path) -> bool:
    """Return whether the name is that of a tar archive."""
    return path.name.lower().endswith(_SUFFIXES)


def list_images(path: Path, limits: Limits, passed_over: "Counter[str]") -> list[str]:
    """List the names of the images in the order of the archive, and count the files passed over by their reason.

    Raises:
        BadImage: `bad-tar`, or `zip-limits` for too many entries, too many bytes, or too strong a compression.
    """
    images: dict[str, None] = {}
    try:
        with tarfile.open(path) as archive:
            for entry in _within_limits(archive, path, limits):
                reason = _reason(archive, entry)
                if reason is None:
                    images[entry.name] = None  # the last one of a name counts, as when it is unpacked
                else:
                    passed_over[reason] += 1
    except BadImage:
        raise
    except Exception:  # tarfile.TarError, zlib.error, EOFError, OSError ...
        raise BadImage(DAMAGED, code="bad-tar") from None
    return list(images)


def read_entry(path: Path, name: str, limits: Limits) -> bytes:
    """Read an entry, at most the limit of a file. Raises `BadImage`: `bad-tar`, `too-large`."""
    try:
        with _LOCK:
            stream = _LAST.open(path).extractfile(name)
            data = stream.read(limits.upload_bytes + 1) if stream else b""
    except Exception:
        raise BadImage(DAMAGED, code="bad-tar") from None
    if len(data) > limits.upload_bytes:
        raise BadImage(f"The entry is larger than {limits.upload_bytes:,} bytes.", code="too-large")
    return data


def copy_unpacked(stream: BinaryIO, copy: BinaryIO, limits: Limits) -> None:
    """Copy a tar archive, unpacked where it is compressed; a damaged one becomes an empty file.

    Raises:
        InputRefused: it is too large or compressed too strongly (`zip-limits`).
    """
    most = min(limits.zip_bytes, int(limits.zip_ratio * stream.seek(0, io.SEEK_END)))
    stream.seek(0)
    opened = _COMPRESSED.get(stream.read(2))
    stream.seek(0)
    plain = opened(stream) if opened else stream
    while chunk := _read_chunk(plain):
        if copy.tell() + len(chunk) > most:
            message = "The archive is too large when unpacked, or packed too strongly. Split it."
            raise InputRefused(message, code="zip-limits")
        copy.write(chunk)
    if chunk is None:
        copy.seek(0)
        copy.truncate()


def _read_chunk(plain: IO[bytes]) -> bytes | None:
    """Read on in an archive; `None` where it is damaged."""
    try:
        return plain.read(CHUNK)
    except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError):
        return None


def close_archive() -> None:
    """Close the archive that is kept open, so that its space is free when it is deleted."""
    with _LOCK:
        _LAST.close()


def _within_limits(archive: tarfile.TarFile, path: Path, limits: Limits) -> Iterator[tarfile.TarInfo]:
    """Yield the entries but folders; sizes are checked before the next header is looked for behind them."""
    packed, size = max(1, path.stat().st_size), 0
    for count, entry in enumerate(archive, start=1):
        size += entry.size
        if count > limits.zip_entries or size > limits.zip_bytes or size / packed > limits.zip_ratio:
            raise BadImage("The archive exceeds the limits.", code="zip-limits")
        if not entry.isdir() and not is_hidden_entry(entry.name):
            yield entry


def _reason(archive: tarfile.TarFile, entry: tarfile.TarInfo) -> str | None:
    if not entry.isfile():
        return "links and devices"
    stream = archive.extractfile(entry)
    return why_passed_over(PurePosixPath(entry.name).name, lambda: stream.read(HEAD_BYTES) if stream else b"")


class _LastArchive:
    """Keep the last archive open: a compressed one is read from its start for every step back."""

    def __init__(self) -> None:
        self._key: tuple[Path, int] | None = None
        self._archive: tarfile.TarFile | None = None

    def open(self, path: Path) -> tarfile.TarFile:
        key = (path, path.stat().st_mtime_ns)
        if self._archive is None or key != self._key:
            self.close()
            self._key, self._archive = key, tarfile.open(path)  # noqa: SIM115
            atexit.register(self.close)
        return self._archive

    def close(self) -> None:
        atexit.unregister(self.close)
        if self._archive is not None:
            self._archive.close()
            self._archive = None


_LAST = _LastArchive()
