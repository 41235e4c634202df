"""Radiographs in, files under generated names out, and back: grey PNG without metadata, never the upload itself.

A file is for its owner only (0600) and on disk (fsync) before anybody hears of it. The shelf knows how full it is.
"""

import contextlib
import errno
import fcntl
import os
import re
import threading
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import BinaryIO

from covid_xray.errors import NotFound, StoreFull
from covid_xray.files import fsync_folder
from covid_xray.images.decode import decode
from covid_xray.images.radiograph import Radiograph
from covid_xray.limits import Limits
from covid_xray.store.grey_png import encode

_NAME = re.compile(r"(?P<id>[0-9a-f]{32})\.png")
_FULL = (errno.ENOSPC, errno.EDQUOT)


@contextlib.contextmanager
def room_on_disk() -> Iterator[None]:
    """A full disk is `StoreFull`."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise StoreFull("expected room on the disk of the store. Received: none") from None


@contextlib.contextmanager
def private_file(path: Path) -> Iterator[BinaryIO]:
    """A new file for its owner only, on disk when the block has ended. Raises `OSError` when it exists."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "wb") as stream:
        yield stream
        stream.flush()
        os.fsync(handle)


class Shelf:
    """The folder of the images. Thread-safe; processes that share it, a server and a DICOM node, add inside `adding`.

    Args:
        folder: made when it is missing.
        quota: most bytes that all images together may take.
    """

    def __init__(self, folder: Path, *, quota: int) -> None:
        self.folder, self.quota = folder, quota
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = threading.Lock()
        self._sizes: dict[str, int] = {}
        self._used = 0
        self.count()

    @property
    def used(self) -> int:
        """Bytes that the images take."""
        return self._used

    def count(self) -> None:
        """Look what is on the shelf: other processes add and remove too."""
        with self._lock:
            self._sizes = {entry.name[:-4]: _size(entry) for entry in os.scandir(self.folder) if _is_image(entry)}
            self._used = sum(self._sizes.values())

    @contextlib.contextmanager
    def adding(self, *, alone: bool = False) -> Iterator[None]:
        """The time from the writing of an image to the commit of its row; `alone` waits until no process is in it."""
        handle = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
            yield
        finally:
            os.close(handle)

    def put(self, identity: str, radiograph: Radiograph) -> int:
        """Write an image and fsync it; returns its bytes. Its name is durable after `sync`.

        Raises:
            StoreFull: no room within the quota or on the disk; nothing is left behind.
        """
        path = self._path(identity)
        try:
            with room_on_disk(), private_file(path) as stream:
                size = stream.write(encode(radiograph.pixels))
                self._take(identity, size)
        except BaseException:
            self.remove(identity)
            raise
        return size

    def sync(self) -> None:
        """Make the names of all images that were put durable."""
        fsync_folder(self.folder)

    def get(self, identity: str, *, bits: int, limits: Limits) -> Radiograph:
        """The image that was put, `bits` deep. Raises `NotFound`."""
        try:
            data = self._path(identity).read_bytes()
        except FileNotFoundError:
            raise NotFound("expected the image of a stored study. Received: one that is gone") from None
        # Limits are for files from outside; an upload of 20 MB of JPEG may be a larger PNG.
        own = Limits(upload_bytes=len(data), pixels=limits.pixels, side=limits.side)
        return Radiograph(decode(data, limits=own).pixels, bits=bits)

    def remove(self, identity: str) -> None:
        """Delete an image; nothing happens when there is none."""
        with contextlib.suppress(FileNotFoundError):
            self._path(identity).unlink()
        with self._lock:
            self._used -= self._sizes.pop(identity, 0)

    def clear(self, *, known: Collection[str]) -> int:
        """Delete every image whose study is not `known`: what a crash left before the commit. Returns how many."""
        orphans = [identity for identity in list(self._sizes) if identity not in known]
        for identity in orphans:
            self.remove(identity)
        if orphans:
            self.sync()
        return len(orphans)

    def _take(self, identity: str, size: int) -> None:
        with self._lock:
            if self._used + size > self.quota:
                raise StoreFull(
                    f"expected at most {self.quota:,} bytes of images in the store. Received: more; delete studies, "
                    "or raise the quota"
                )
            self._used += size - self._sizes.get(identity, 0)  # `count` may have seen a part of it
            self._sizes[identity] = size

    def _path(self, identity: str) -> Path:
        path = self.folder / f"{identity}.png"
        if not _NAME.fullmatch(path.name):
            raise ValueError(f"expected 32 hexadecimal digits. Received: {len(identity)} characters")
        return path


def _is_image(entry: "os.DirEntry[str]") -> bool:
    return _NAME.fullmatch(entry.name) is not None


def _size(entry: "os.DirEntry[str]") -> int:
    try:
        return entry.stat().st_size
    except FileNotFoundError:  # another process has just removed it
        return 0
