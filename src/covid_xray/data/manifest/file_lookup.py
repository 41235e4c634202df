"""Find the files that a name in a table may mean: as written, without its suffix, or in a sub-folder.

Names are compared in Unicode's composed form (NFC), since macOS splits accented letters in file names.
"""

import unicodedata
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

from covid_xray.data.manifest.columns import SPLIT_FOLDERS


@dataclass(frozen=True)
class Place:
    """Label and split of a row, which say in which folder its file lies where several have its name."""

    label: str = ""
    split: str = ""

    def is_in_class_folder(self, folders: tuple[str, ...]) -> bool:
        """Return whether one of the folders has the name of the label."""
        return self.label in folders

    def is_in_split_folder(self, folders: tuple[str, ...]) -> bool:
        """Return whether one of the folders is that of the split, such as `training` of train."""
        return any(SPLIT_FOLDERS.get(folder.lower()) == self.split for folder in folders if self.split)


class Lookup:
    """Find files below `root`; the tree is listed once, when a name is not found as written."""

    def __init__(self, root: Path, list_files: Callable[[Path], list[str]]) -> None:
        self.root = root
        self._list_files = list_files

    def find(self, name: str, *, place: Place = Place()) -> list[str]:
        """Return the relative posix paths that `name` may mean; among several, those in the folders of `place`."""
        if (self.root / name).is_file():
            return [name]
        found = self._match_tail(name, self._by_name) or self._match_tail(name, self._by_stem)
        for fits in (place.is_in_class_folder, place.is_in_split_folder):
            better = [path for path in found if fits(PurePosixPath(_composed(path)).parts[:-1])]
            found = better if len(found) > 1 and better else found
        return found

    @staticmethod
    def _match_tail(name: str, index: dict[str, list[str]]) -> list[str]:
        *folders, last = PurePosixPath(_composed(name)).parts or ("",)  # "." has no parts, and names no file
        folder = tuple(folders)
        candidates = index.get(last, [])
        return [
            path
            for path in candidates
            if not folder or PurePosixPath(_composed(path)).parts[:-1][-len(folder) :] == folder
        ]

    @cached_property
    def _files(self) -> list[str]:
        return self._list_files(self.root)

    @cached_property
    def _by_name(self) -> dict[str, list[str]]:
        return _index(self._files, key=lambda path: path.name)

    @cached_property
    def _by_stem(self) -> dict[str, list[str]]:
        return _index(self._files, key=lambda path: path.stem)


def _index(files: list[str], *, key: Callable[[PurePosixPath], str]) -> dict[str, list[str]]:
    index: dict[str, list[str]] = defaultdict(list)
    for name in files:
        index[key(PurePosixPath(_composed(name)))].append(name)
    return index


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)
