"""What a user names on the command line in, single images out: files, folders, globs, zip archives.

Each image comes with the name that its answer will carry. Nothing is unpacked to disk; zip entries are read under
limits.
"""

import glob
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from covid_xray.config import Limits
from covid_xray.errors import BadImage, InputRefused
from covid_xray.images.decode import SUFFIXES, is_candidate


@dataclass(frozen=True)
class Item:
    """One image to answer for: its name in the results, and where its bytes are."""

    name: str
    path: Path
    entry: str | None = None  # of a zip archive
    problem: str | None = None  # a code: the item is known to fail before it is read

    def read(self, limits: Limits) -> Path | bytes:
        """What `Predictor` takes: the path, or the bytes of the zip entry. Raises `BadImage`."""
        if self.problem:
            raise BadImage(_PROBLEMS[self.problem], code=self.problem)
        return self.path if self.entry is None else _read_entry(self.path, self.entry, limits)


_PROBLEMS = {
    "missing-file": "expected a file, a folder, a glob or a zip archive. Received: nothing of this name",
    "bad-zip": "expected a zip archive that can be read. Received: a damaged one",
    "zip-limits": "expected a zip archive within the limits of entries, size and ratio. Received: one beyond them",
}


def expand(paths: Iterable[str | Path], *, limits: Limits) -> Iterator[Item]:
    """The images behind `paths`, each once, in a stable order whatever order the file system lists.

    A folder gives the image files below it; a glob (`scans/**/*.png`) what it matches; a zip archive its image entries.
    A name behind which nothing lies gives an item that fails with the code `missing-file`.
    """
    seen: set[str] = set()
    for path in paths:
        for item in _expand_one(Path(path), limits):
            if item.name not in seen:
                seen.add(item.name)
                yield item


def require_any(items: list[Item], paths: Iterable[str | Path]) -> None:
    """Raises `InputRefused` (code `no-images`) when there is nothing to answer for."""
    if not items:
        named = ", ".join(str(path) for path in paths)
        raise InputRefused(
            f"expected at least one image ({', '.join(sorted(SUFFIXES))}). Received: none in {named}", code="no-images"
        )


def _expand_one(path: Path, limits: Limits) -> Iterator[Item]:
    if path.is_dir():
        found = sorted(file for file in path.rglob("*") if file.is_file() and is_candidate(file))
        yield from (Item(str(file), file) for file in found)
    elif path.is_file():
        yield from _zip_items(path, limits) if path.suffix.lower() == ".zip" else [Item(str(path), path)]
    elif matches := _matches(str(path)):
        for match in matches:
            yield from _expand_one(Path(match), limits)
    else:
        yield Item(str(path), path, problem="missing-file")


def _matches(pattern: str) -> list[str]:
    return sorted(glob.glob(pattern, recursive=True)) if glob.has_magic(pattern) else []  # noqa: PTH207 (absolute too)


def _zip_items(path: Path, limits: Limits) -> Iterator[Item]:
    try:
        with zipfile.ZipFile(path) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        yield Item(str(path), path, problem="bad-zip")
        return
    size = sum(entry.file_size for entry in entries)
    packed = max(1, sum(entry.compress_size for entry in entries))
    if len(entries) > limits.zip_entries or size > limits.zip_bytes or size / packed > limits.zip_ratio:
        yield Item(str(path), path, problem="zip-limits")
        return
    for entry in sorted(entries, key=lambda entry: entry.filename):
        if Path(entry.filename).suffix.lower() in SUFFIXES:
            yield Item(f"{path}/{entry.filename}", path, entry=entry.filename)


def _read_entry(path: Path, entry: str, limits: Limits) -> bytes:
    """The entry's bytes, at most the limit: the size that the archive declares is not believed."""
    try:
        with zipfile.ZipFile(path) as archive, archive.open(entry) as stream:
            data = stream.read(limits.upload_bytes + 1)
    except Exception:  # BadZipFile, zlib.error, RuntimeError for a password ...
        raise BadImage(_PROBLEMS["bad-zip"], code="bad-zip") from None
    if len(data) > limits.upload_bytes:
        raise BadImage(f"expected at most {limits.upload_bytes:,} bytes. Received: a larger entry", code="too-large")
    return data
