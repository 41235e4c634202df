"""Keep stored radiographs as grey PNG files without metadata, readable by their owner only; never the upload itself."""

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

_NAME = re.compile(r"[0-9a-f]{32}\.png")
_FULL = (errno.ENOSPC, errno.EDQUOT)


@contextlib.contextmanager
def room_on_disk() -> Iterator[None]:
    """Turn "disk full" into `StoreFull`."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise StoreFull("The disk of the store is full. Delete studies or add disk space.") from None


@contextlib.contextmanager
def private_file(path: Path) -> Iterator[BinaryIO]:
    """Create a file (mode 0600), fsynced when the block ends. Raises `OSError` when it exists."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "wb") as stream:
        yield stream
        stream.flush()
        os.fsync(handle)


def private_folder(folder: Path) -> None:
    """Create a folder for its owner only (mode 0700); one that exists becomes so where it belongs to this user."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with contextlib.suppress(PermissionError):
        folder.chmod(0o700)


class ImageFiles:
    """The image folder of a store. Thread-safe; processes that share it add images inside `write_lock`.

    Args:
        folder: created when missing.
        quota: largest total size of all images, in bytes.
    """

    def __init__(self, folder: Path, *, quota: int) -> None:
        self.folder, self.quota = folder, quota
        private_folder(folder)
        self._lock = threading.Lock()
        self._sizes: dict[str, int] = {}
        self._used = 0
        self.rescan()

    @property
    def used(self) -> int:
        """Total size of the images in bytes."""
        return self._used

    def rescan(self) -> None:
        """Measure the folder again: other processes add and remove images too."""
        with self._lock:
            images = (entry for entry in os.scandir(self.folder) if _NAME.fullmatch(entry.name))
            self._sizes = {entry.name[:-4]: _size(entry) for entry in images}
            self._used = sum(self._sizes.values())

    @contextlib.contextmanager
    def write_lock(self, *, exclusive: bool = False) -> Iterator[None]:
        """Hold the lock under which an image is written and its row committed; `exclusive` waits for all holders."""
        handle = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)
            yield
        finally:
            os.close(handle)

    def put(self, identity: str, radiograph: Radiograph) -> int:
        """Write and fsync an image and return its size in bytes. Its name is durable after `sync`.

        Raises:
            StoreFull: over the quota, or the disk is full; nothing is left behind.
        """
        path = self._path(identity)
        try:
            with room_on_disk(), private_file(path) as stream:
                size = sum(stream.write(part) for part in encode(radiograph.pixels))
                self._add_size(identity, size)
        except BaseException:
            self.remove(identity)
            raise
        return size

    def sync(self) -> None:
        """Make the names of all written images durable."""
        fsync_folder(self.folder)

    def get(self, identity: str, *, bits: int, limits: Limits) -> Radiograph:
        """Read a stored image of `bits` bits. Raises `NotFound`."""
        try:
            data = self._path(identity).read_bytes()
        except FileNotFoundError:
            raise NotFound("The image of this study has been deleted.") from None
        # The upload limit does not hold here: a JPEG below it may become a larger PNG.
        own = Limits(upload_bytes=len(data), pixels=limits.pixels, side=limits.side)
        return Radiograph(decode(data, limits=own).pixels, bits=bits)

    def remove(self, identity: str) -> None:
        """Delete an image, if it exists."""
        with contextlib.suppress(FileNotFoundError):
            self._path(identity).unlink()
        with self._lock:
            self._used -= self._sizes.pop(identity, 0)

    def remove_orphans(self, *, known: Collection[str]) -> int:
        """Delete the images without a `known` study, as a crash before the commit leaves them; return how many."""
        orphans = [identity for identity in list(self._sizes) if identity not in known]
        for identity in orphans:
            self.remove(identity)
        if orphans:
            self.sync()
        return len(orphans)

    def _add_size(self, identity: str, size: int) -> None:
        with self._lock:
            if self._used + size > self.quota:
                raise StoreFull(
                    f"The store is full: its images may take {self.quota:,} bytes. Delete studies or raise quota_bytes."
                )
            self._used += size - self._sizes.get(identity, 0)  # `rescan` may have counted a part of it
            self._sizes[identity] = size

    def _path(self, identity: str) -> Path:
        path = self.folder / f"{identity}.png"
        if not _NAME.fullmatch(path.name):
            raise ValueError("Invalid image id: an id has 32 hexadecimal digits.")
        return path


def _size(entry: "os.DirEntry[str]") -> int:
    try:
        return entry.stat().st_size
    except FileNotFoundError:  # another process has just removed it
        return 0
