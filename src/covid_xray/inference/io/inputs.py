"""What a user names on the command line in, single images out: files, folders, globs, zip archives.

Each image comes with the name that its answer will carry. Nothing is unpacked to disk; zip entries are read under
limits. What was named but gives no image becomes an item that fails with a code, so that nothing is passed over.
"""

import glob
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from covid_xray.errors import BadImage, InputRefused
from covid_xray.images.decode import SUFFIXES, decode, is_candidate
from covid_xray.images.radiograph import Radiograph
from covid_xray.limits import Limits

_DIRECTORY_ENTRY = 1024  # bytes an entry may take in the archive's directory, names included


@dataclass(frozen=True)
class Item:
    """One image to answer for: its name in the results, and where its bytes are."""

    name: str
    path: Path
    entry: str | None = None  # of a zip archive
    problem: str | None = None  # a code: the item is known to fail before it is read
    apart: bool = False  # decode it in a child process, even where the others are trusted

    def read(self, limits: Limits) -> Path | bytes:
        """What `Predictor` takes: the path, or the bytes of the zip entry. Raises `BadImage`."""
        if self.problem:
            raise BadImage(_PROBLEMS[self.problem], code=self.problem)
        return self.path if self.entry is None else _read_entry(self.path, self.entry, limits)


_PROBLEMS = {
    "missing-file": "expected a file, a folder, a glob or a zip archive. Received: nothing of this name",
    "no-images": f"expected images ({', '.join(sorted(SUFFIXES))}) in it. Received: none",
    "bad-zip": "expected a zip archive that can be read. Received: a damaged one",
    "gave-up": "expected an image that can be answered. Received: one at which the command died in 3 runs",
    "zip-limits": "expected a zip archive within the limits of entries, size and ratio. Received: one beyond them",
}


def expand(paths: Iterable[str | Path], *, limits: Limits) -> Iterator[Item]:
    """The images behind `paths`, each once, in a stable order whatever order the file system lists.

    A folder gives the image files below it; a glob (`scans/**/*.png`) what it matches; a zip archive its image entries.
    A name behind which nothing lies gives an item that fails with the code `missing-file`; a folder or archive without
    images, one with `no-images`.
    """
    seen: set[str] = set()
    for path in paths:
        for item in _expand_one(Path(path), limits):
            if item.name not in seen:
                seen.add(item.name)
                yield item


def require_any(items: Sequence[Item], paths: Iterable[str | Path]) -> None:
    """Raises `InputRefused` (code `no-images`) when there is nothing to answer for."""
    if all(item.problem == "no-images" for item in items):
        named = ", ".join(str(path) for path in paths)
        raise InputRefused(
            f"expected at least one image ({', '.join(sorted(SUFFIXES))}). Received: none in {named}", code="no-images"
        )


def _expand_one(path: Path, limits: Limits) -> Iterator[Item]:
    kind = _kind(path)
    if kind == "folder":
        found = sorted(file for file in path.rglob("*") if _is_image(file))
        yield from (Item(str(file), file) for file in found)
        if not found:
            yield Item(str(path), path, problem="no-images")
    elif kind == "file":
        yield from _zip_items(path, limits) if path.suffix.lower() == ".zip" else [Item(str(path), path)]
    elif matches := _matches(str(path)):
        for match in matches:
            yield from _expand_one(Path(match), limits)
    else:
        yield Item(str(path), path, problem="missing-file")


def _kind(path: Path) -> str:
    try:
        return "folder" if path.is_dir() else "file" if path.is_file() else ""
    except OSError:  # a name that is too long for the file system
        return ""


def _is_image(file: Path) -> bool:
    return not _is_shadow(file.name) and file.is_file() and is_candidate(file)


def _is_shadow(name: str) -> bool:
    """Whether the file is what macOS puts beside a file of that name: no image, whatever its suffix says."""
    return name.startswith("._")


def _matches(pattern: str) -> list[str]:
    return sorted(glob.glob(pattern, recursive=True)) if glob.has_magic(pattern) else []  # noqa: PTH207 (absolute too)


def _zip_items(path: Path, limits: Limits) -> Iterator[Item]:
    try:
        entries = _entries(path, limits)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        yield Item(str(path), path, problem="bad-zip")
        return
    if entries is None:
        yield Item(str(path), path, problem="zip-limits")
        return
    images = sorted({name for name in entries if _is_image_entry(name)})
    yield from (Item(f"{path}/{name}", path, entry=name) for name in images)
    if not images:
        yield Item(str(path), path, problem="no-images")


def _entries(path: Path, limits: Limits) -> list[str] | None:
    """Names of the files in the archive; `None` when it is beyond the limits."""
    with path.open("rb") as stream:
        end = zipfile._EndRecData(stream)  # type: ignore[attr-defined]
    # The directory is read as a whole by `ZipFile`, so its size is looked at first (field 5 of the end record).
    if end and end[5] > limits.zip_entries * _DIRECTORY_ENTRY:
        return None
    with zipfile.ZipFile(path) as archive:
        entries = [entry for entry in archive.infolist() if not entry.is_dir()]
    size = sum(entry.file_size for entry in entries)
    packed = max(1, sum(entry.compress_size for entry in entries))
    if len(entries) > limits.zip_entries or size > limits.zip_bytes or size / packed > limits.zip_ratio:
        return None
    return [entry.filename for entry in entries]


def _is_image_entry(name: str) -> bool:
    path = PurePosixPath(name)
    return path.suffix.lower() in SUFFIXES and not _is_shadow(path.name) and "__MACOSX" not in path.parts


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


Source = str | Path | bytes | Radiograph | Item


def open_source(source: Source, *, limits: Limits, untrusted: bool = False) -> Radiograph:
    """The radiograph behind a path, bytes, an `Item` of `expand`, or itself. Raises `BadImage`."""
    if isinstance(source, Radiograph):
        return source
    if isinstance(source, Item):
        untrusted, source = untrusted or source.apart, source.read(limits)
    file = Path(source) if isinstance(source, str) else source
    if not untrusted:
        return decode(file, limits=limits)
    from covid_xray.images.sandbox import decode_limited

    return decode_limited(file, limits=limits)
