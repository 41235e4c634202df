"""Keep received objects and unsent results as private files under generated names, written durably."""

import contextlib
import os
import re
import shutil
import time
from pathlib import Path

from covid_xray.errors import StoreFull
from covid_xray.files import fsync_folder
from covid_xray.pacs.settings import suffix_of
from covid_xray.store.image_files import private_file, private_folder, room_on_disk

_NAME = re.compile(r"(?P<id>[0-9a-f]{32})(?:-(?P<kind>[a-z0-9]{2,8}))?\.(?:dcm|json|hl7)")
_STALE_SECONDS = 300.0  # after which an unfinished file has no owner any more


class Spool:
    """The folder of one node, created for its owner only; `reserve` bytes of the disk stay free. Thread-safe."""

    def __init__(self, folder: Path, *, reserve: int) -> None:
        self.folder, self.incoming, self.reserve = folder, folder / "incoming", reserve
        for path in (folder, self.incoming):
            private_folder(path)

    def check_room(self) -> None:
        """Raise `StoreFull` when less than the reserve is free."""
        if shutil.disk_usage(self.folder).free < self.reserve:
            raise StoreFull(f"The disk is full: less than {self.reserve:,} bytes are free.")

    def store_original(self, received: Path, identity: str) -> None:
        """Link a file of `incoming` under the id of its arrival, durably. Raises `StoreFull`."""
        with room_on_disk():
            with received.open("rb") as stream:
                os.fsync(stream.fileno())
            os.link(received, self.original_path(identity))
            fsync_folder(self.folder)

    def store_result(self, identity: str, kind: str, data: bytes) -> None:
        """Write a result object. Its name is durable after `sync`. Raises `StoreFull`."""
        path = self.result_path(identity, kind)
        path.unlink(missing_ok=True)  # left by a try before a crash
        try:
            with room_on_disk(), private_file(path) as stream:
                stream.write(data)
        except BaseException:
            path.unlink(missing_ok=True)
            raise

    def sync(self) -> None:
        """Make the names of all results durable."""
        fsync_folder(self.folder)

    def original_path(self, identity: str) -> Path:
        """Return the path of a received object."""
        return self._path(f"{identity}.dcm")

    def result_path(self, identity: str, kind: str) -> Path:
        """Return the path of a result object."""
        return self._path(f"{identity}-{kind}.{suffix_of(kind)}")

    def remove(self, *paths: Path) -> None:
        """Delete files that may be gone already."""
        for path in paths:
            path.unlink(missing_ok=True)

    def arrival_ids(self) -> set[str]:
        """Return the ids of the arrivals that have files."""
        return {match["id"] for path in self.folder.iterdir() if (match := _NAME.fullmatch(path.name))}

    def delete_unneeded(
        self, *, waiting: set[str], unsent: set[tuple[str, str]], finished: set[str], age: float = _STALE_SECONDS
    ) -> int:
        """Delete the files of neither a waiting arrival nor an unsent result; return how many.

        Args:
            waiting: ids of arrivals without an outcome.
            unsent: (arrival id, kind) of results that are still to be sent.
            finished: ids of arrivals with an outcome.
            age: seconds; younger files of unknown arrivals are kept, since they may be under way.
        """
        before, deleted = time.time() - age, 0
        for path in [*self.folder.iterdir(), *self.incoming.iterdir()]:
            with contextlib.suppress(FileNotFoundError):
                if not path.is_file() or _is_needed(path, waiting, unsent):
                    continue
                match = _NAME.fullmatch(path.name)
                if path.stat().st_mtime <= before or (match and match["id"] in finished):
                    path.unlink()
                    deleted += 1
        return deleted

    def _path(self, name: str) -> Path:
        path = self.folder / name
        if not _NAME.fullmatch(path.name):
            raise ValueError("Not a generated id with a kind of result.")
        return path


def _is_needed(path: Path, waiting: set[str], unsent: set[tuple[str, str]]) -> bool:
    if path.name.startswith(".lock"):
        return True
    match = _NAME.fullmatch(path.name)
    if match is None or path.parent.name == "incoming":
        return False
    return match["id"] in waiting or (match["id"], match["kind"]) in unsent
