"""Objects and results as files until they are done with: named by generated numbers, private, on disk when said so."""

import contextlib
import os
import re
import shutil
import time
from pathlib import Path

from covid_xray.errors import StoreFull
from covid_xray.files import fsync_folder
from covid_xray.store.image_files import private_file, room_on_disk

_NAME = re.compile(r"(?P<id>[0-9a-f]{32})(?:-(?P<kind>sc|sr|seg|gsps))?\.dcm")
_STALE = 300.0  # seconds after which a file that nobody finished belongs to nobody


class Spool:
    """The folder of one node. Thread-safe.

    Args:
        folder: made when it is missing, for its owner only.
        reserve: bytes that the disk keeps free.
    """

    def __init__(self, folder: Path, *, reserve: int) -> None:
        self.folder, self.incoming, self.reserve = folder, folder / "incoming", reserve
        for path in (folder, self.incoming):
            path.mkdir(parents=True, exist_ok=True, mode=0o700)

    def check_room(self) -> None:
        """Raises `StoreFull` when less than the reserve is free."""
        if shutil.disk_usage(self.folder).free < self.reserve:
            raise StoreFull(f"expected at least {self.reserve:,} bytes free on the disk. Received: fewer")

    def adopt(self, received: Path, identity: str) -> None:
        """Give a file in `incoming` the name of an arrival; it is on disk when this returns. Raises `StoreFull`."""
        with room_on_disk():
            with received.open("rb") as stream:
                os.fsync(stream.fileno())
            os.link(received, self.original(identity))
            fsync_folder(self.folder)

    def write(self, identity: str, kind: str, data: bytes) -> None:
        """Keep a result. Its name is durable after `sync`. Raises `StoreFull`."""
        path = self.result(identity, kind)
        path.unlink(missing_ok=True)  # of a try before a crash
        try:
            with room_on_disk(), private_file(path) as stream:
                stream.write(data)
        except BaseException:
            path.unlink(missing_ok=True)
            raise

    def sync(self) -> None:
        """Make the names of all results durable."""
        fsync_folder(self.folder)

    def original(self, identity: str) -> Path:
        """Where an arrival lies."""
        return self._path(identity, "")

    def result(self, identity: str, kind: str) -> Path:
        """Where a result of an arrival lies."""
        return self._path(identity, f"-{kind}")

    def remove(self, *paths: Path) -> None:
        """Delete files; those that are gone already are fine."""
        for path in paths:
            path.unlink(missing_ok=True)

    def identities(self) -> set[str]:
        """The arrivals that files are named after."""
        return {match["id"] for path in self.folder.iterdir() if (match := _NAME.fullmatch(path.name))}

    def clear(
        self, *, arrivals: set[str], deliveries: set[tuple[str, str]], done: set[str], age: float = _STALE
    ) -> int:
        """Delete what belongs neither to an open arrival nor to an open delivery; returns how many files.

        Args:
            arrivals: ids of those without an answer.
            deliveries: arrival and kind of those that are not sent.
            done: ids of arrivals that are answered, without a result, or failed.
            age: seconds since it was written, for files of no arrival that is known: younger ones may be on their way.
        """
        before, gone = time.time() - age, 0
        for path in [*self.folder.iterdir(), *self.incoming.iterdir()]:
            with contextlib.suppress(FileNotFoundError):
                if not path.is_file() or _wanted(path, arrivals, deliveries):
                    continue
                match = _NAME.fullmatch(path.name)
                if path.stat().st_mtime <= before or (match and match["id"] in done):
                    path.unlink()
                    gone += 1
        return gone

    def _path(self, identity: str, suffix: str) -> Path:
        path = self.folder / f"{identity}{suffix}.dcm"
        if not _NAME.fullmatch(path.name):
            raise ValueError("expected a generated id and a kind of result. Received: another name")
        return path


def _wanted(path: Path, arrivals: set[str], deliveries: set[tuple[str, str]]) -> bool:
    match = _NAME.fullmatch(path.name)
    if path.name.startswith(".lock"):
        return True
    if match is None or path.parent.name == "incoming":
        return False
    if match["kind"] is None:
        return match["id"] in arrivals
    # Results of an open arrival are being made.
    return (match["id"], match["kind"]) in deliveries or match["id"] in arrivals
