"""Expand the paths of a command line into single images: files, folders, globs, zip and tar archives.

Each image has the name that its result will have. Nothing is unpacked to disk; entries are read under limits. A
path without any image becomes an item that fails with a code, so that nothing is skipped silently.
"""

import functools
import glob
import io
import os
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias

import numpy as np
from numpy.typing import NDArray

from covid_xray.errors import BadImage, InputRefused, UsageError
from covid_xray.files import files_below, is_hidden_entry
from covid_xray.images.decode import (
    HEAD_BYTES,
    SUFFIXES,
    decode,
    read_head,
    why_passed_over,
)  # fmt: skip
from covid_xray.images.radiograph import Radiograph
from covid_xray.inference.io import tar_entries
from covid_xray.limits import Limits

if TYPE_CHECKING:
    import pandas as pd
    from PIL import Image

_DIRECTORY_ENTRY = 1024  # bytes an entry may take in the archive's directory, names included


@dataclass(frozen=True)
class Item:
    """One image: its name in the results, and the place of its bytes."""

    name: str
    path: Path
    entry: str | None = None  # of a zip or tar archive
    problem: str | None = None  # a code: the item is known to fail before it is read
    apart: bool = False  # decode it in a child process, even where the others are trusted

    def read(self, limits: Limits) -> Path | bytes:
        """Return the path, or read the bytes of the archive's entry, for `Predictor`. Raises `BadImage`."""
        if self.problem:
            raise BadImage(_PROBLEMS[self.problem], code=self.problem)
        if self.entry is None:
            return self.path
        read = tar_entries.read_entry if tar_entries.is_tar(self.path) else _read_entry
        return read(self.path, self.entry, limits)


_PROBLEMS = {
    "missing-file": "No such file. Give a file, a folder, a glob, or a zip or tar archive.",
    "no-images": f"It holds no images ({', '.join(sorted(SUFFIXES))}).",
    "bad-zip": "The zip archive is damaged, or needs a password.",
    "gave-up": "The command died at this image in 3 runs, so it is not tried again.",
    "bad-tar": tar_entries.DAMAGED,
    "zip-limits": "The archive has too many entries, is too large, or is compressed too strongly.",
}


def expand(
    paths: "Iterable[str | os.PathLike[str]]", *, limits: Limits, passed_over: "Counter[str] | None" = None
) -> Iterator[Item]:
    """Yield the images behind `paths`, each once, in an order that does not depend on the file system.

    A folder gives the image files below it, links to folders included; a glob (`scans/**/*.png`) its matches; a zip
    or tar archive its image entries. A missing file gives an item that fails with the code `missing-file`; a folder or
    archive without images, one with `no-images`. `passed_over` counts the files of folders and archives that are no
    images, by the reason (`images.decode.why_passed_over`); hidden ones are not looked at.

    Raises:
        UsageError: a path is empty; it would mean the current folder.
    """
    others = Counter() if passed_over is None else passed_over
    names: set[str] = set()
    for path in paths:
        if path == "":
            raise UsageError('An empty path was given. Give a file or folder; "." means the current folder.')
        for item in _expand_one(Path(path), limits, others):
            if item.name not in names:
                names.add(item.name)
                yield item


def require_any(items: Sequence[Item], paths: Iterable[str | Path]) -> None:
    """Raise `InputRefused` (code `no-images`) when there are no images at all."""
    if all(item.problem == "no-images" for item in items):
        named = ", ".join(str(path) for path in paths)
        raise InputRefused(f"No images ({', '.join(sorted(SUFFIXES))}) in {named}.", code="no-images")


def _expand_one(path: Path, limits: Limits, others: "Counter[str]") -> Iterator[Item]:
    kind = _kind(path)
    if kind == "folder":
        yield from _folder_items(path, others)
    elif kind == "file":
        yield from _file_items(path, limits, others)
    elif matches := _matches(str(path)):
        for match in matches:
            yield from _expand_one(Path(match), limits, others)
    else:
        yield Item(str(path), path, problem="missing-file")


def _file_items(path: Path, limits: Limits, others: "Counter[str]") -> Iterator[Item]:
    if path.suffix.lower() == ".zip":
        yield from _zip_items(path, limits, others)
    elif tar_entries.is_tar(path):
        try:
            names = tar_entries.list_images(path, limits, others)
        except BadImage as error:
            yield Item(str(path), path, problem=error.code)
            return
        yield from (Item(f"{path}/{name}", path, entry=name) for name in names)
        if not names:
            yield Item(str(path), path, problem="no-images")
    else:
        yield Item(str(path), path)


def _folder_items(path: Path, others: "Counter[str]") -> Iterator[Item]:
    found = False
    for file in map(path.joinpath, files_below(path)):
        reason = why_passed_over(file.name, functools.partial(read_head, file))
        if reason is None:
            found = True
            yield Item(str(file), file)
        else:
            others[reason] += 1
    if not found:
        yield Item(str(path), path, problem="no-images")


def _kind(path: Path) -> str:
    try:
        return "folder" if path.is_dir() else "file" if path.is_file() else ""
    except OSError:  # a name that is too long for the file system
        return ""


def _matches(pattern: str) -> list[str]:
    return sorted(glob.glob(pattern, recursive=True)) if glob.has_magic(pattern) else []  # noqa: PTH207 (absolute too)


def _zip_items(path: Path, limits: Limits, others: "Counter[str]") -> Iterator[Item]:
    try:
        entries = _entries(path, limits, others)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        yield Item(str(path), path, problem="bad-zip")
        return
    if entries is None:
        yield Item(str(path), path, problem="zip-limits")
        return
    images = sorted(set(entries))
    yield from (Item(f"{path}/{name}", path, entry=name) for name in images)
    if not images:
        yield Item(str(path), path, problem="no-images")


def _entries(path: Path, limits: Limits, others: "Counter[str]") -> list[str] | None:
    """List the images in the archive; `None` when it is beyond the limits."""
    with path.open("rb") as stream:
        end = zipfile._EndRecData(stream)  # type: ignore[attr-defined]
    # `ZipFile` reads the whole directory, so its size is checked first (field 5 of the end record).
    if end and end[5] > limits.zip_entries * _DIRECTORY_ENTRY:
        return None
    with zipfile.ZipFile(path) as archive:
        entries = [entry for entry in archive.infolist() if not entry.is_dir()]
        size = sum(entry.file_size for entry in entries)
        packed = max(1, sum(entry.compress_size for entry in entries))
        if len(entries) > limits.zip_entries or size > limits.zip_bytes or size / packed > limits.zip_ratio:
            return None
        seen = [entry for entry in entries if not is_hidden_entry(entry.filename)]
        reasons = {entry.filename: _reason(archive, entry) for entry in seen}
    others.update(reason for reason in reasons.values() if reason is not None)
    return [name for name, reason in reasons.items() if reason is None]


def _reason(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> str | None:
    """Return why an entry is passed over, as for a file in a folder; None for an image."""
    try:
        return why_passed_over(PurePosixPath(entry.filename).name, lambda: archive.open(entry).read(HEAD_BYTES))
    except Exception:  # damaged or locked: it fails when it is read
        return None


def _read_entry(path: Path, entry: str, limits: Limits) -> bytes:
    """Read the entry's bytes, at most the limit: the size that the archive declares is not trusted."""
    try:
        with zipfile.ZipFile(path) as archive, archive.open(entry) as stream:
            data = stream.read(limits.upload_bytes + 1)
    except Exception:  # BadZipFile, zlib.error, RuntimeError for a password ...
        raise BadImage(_PROBLEMS["bad-zip"], code="bad-zip") from None
    if len(data) > limits.upload_bytes:
        raise BadImage(f"The zip entry is larger than {limits.upload_bytes:,} bytes.", code="too-large")
    return data


# Also an H x W (x 3) array of grey values or colours, a Pillow image, and a file open for reading bytes.
Source: TypeAlias = "str | os.PathLike[str] | bytes | Radiograph | Item | NDArray[Any] | Image.Image | BinaryIO"


def open_source(source: Source, *, limits: Limits, untrusted: bool = False) -> Radiograph:
    """Read the radiograph of any source; a `Radiograph` is returned as it is.

    Values in memory pass the decoder like files: an array as .npy, a Pillow image as PNG.

    Raises:
        BadImage: it cannot be read as one grey radiograph.
        TypeError: it is of another type.
    """
    if isinstance(source, Radiograph):
        return source
    if isinstance(source, Item):
        untrusted, source = untrusted or source.apart, source.read(limits)
    file = source if isinstance(source, bytes) else _as_file(source, limits)
    if not untrusted:
        return decode(file, limits=limits)
    from covid_xray.images.sandbox import decode_limited

    return decode_limited(file, limits=limits)


def sources_of(
    given: "Iterable[Source] | str | os.PathLike[str] | pd.DataFrame", *, limits: Limits
) -> Iterable[Source]:
    """Return the sources behind one argument: of a folder, glob or zip archive its images, of a DataFrame its paths.

    Raises:
        UsageError: a DataFrame without a column `image`.
    """
    if isinstance(given, str | os.PathLike):
        return expand([given], limits=limits)
    columns = getattr(given, "columns", None)
    if columns is None:
        return given  # type: ignore[return-value]
    name = next((name for name in columns if str(name).lower() == "image"), None)
    if name is None:
        raise UsageError("The DataFrame has no column image. Give one with the path of each image.")
    return [str(path) for path in given[name]]  # type: ignore[index]


def _as_file(source: Any, limits: Limits) -> Path | bytes:
    if isinstance(source, str | os.PathLike):
        return Path(source)
    if isinstance(source, np.ndarray):
        return _array_file(source)
    if callable(getattr(source, "read", None)):
        data = source.read(limits.upload_bytes + 1)
        if isinstance(data, bytes):
            return data
    if callable(getattr(source, "save", None)) and hasattr(source, "mode"):
        return _picture_file(source)
    raise TypeError(
        f"Not an image: {type(source).__name__}. Give a path, bytes, an array, a Pillow image or a file open for bytes."
    )


def _array_file(array: NDArray[Any]) -> bytes:
    if array.ndim == 3 and array.shape[2] in (3, 4) and array.dtype == np.uint8:
        from PIL import Image

        return _picture_file(Image.fromarray(array))
    stream = io.BytesIO()
    np.save(stream, array if array.dtype != object else array.astype(str), allow_pickle=False)
    return stream.getvalue()


def _picture_file(picture: "Image.Image") -> bytes:
    if picture.mode in ("F", "I"):  # PNG would cut them
        return _array_file(np.asarray(picture))
    stream = io.BytesIO()
    (picture if picture.mode in ("1", "L", "LA", "I;16", "P", "RGB", "RGBA") else picture.convert("RGB")).save(
        stream, "PNG", compress_level=1
    )
    return stream.getvalue()
