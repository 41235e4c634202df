"""Guess from the names of files how a folder is laid out: split folders, class folders, masks beside images.

root/{train,val,test}/{class}/...   root/{class}/...   either one level deeper   {class}/images + {class}/masks
"""

import re
import unicodedata
from dataclasses import dataclass
from pathlib import PurePosixPath

from covid_xray.data.manifest.columns import SPLIT_FOLDERS
from covid_xray.images.decode import is_image_name

# An only folder with such a name is a class; any other only folder is a wrapper, as archives unpack.
_CLASS = re.compile(
    r"covid|normal|healthy|pneumon|viral|virus|bacteri|tubercul|opacit|negative|positive|sars", re.IGNORECASE
)
_IMAGES = {"image", "images", "img", "imgs"}
_MASKS = {"mask", "masks", "lung_mask", "lung_masks", "infection_mask", "infection_masks"}


@dataclass(frozen=True)
class Layout:
    """Place of the class folders: `prefix` (folders above, each with `/`), then split folders or not."""

    prefix: str = ""
    parts: bool = False

    @property
    def words(self) -> str:
        """The layout as a path for people."""
        return f"{self.prefix}{'train|val|test/' if self.parts else ''}class/name"


def guess_layout(files: list[str]) -> Layout:
    """Guess the layout of a folder from the posix paths of its files."""
    images = [name for name in files if is_image_name(name)]
    prefix = ""
    while True:
        below = [name[len(prefix) :].split("/") for name in images]
        tops = {parts[0] for parts in below if len(parts) > 1}
        if {top.lower() for top in tops} & set(SPLIT_FOLDERS) and any(len(parts) > 2 for parts in below):
            return Layout(prefix, parts=True)
        wrapped = len(tops) == 1 and all(len(parts) > 2 for parts in below) and not _CLASS.search(next(iter(tops)))
        if not wrapped or {_plain(parts[1]) for parts in below} <= _IMAGES | _MASKS:
            return Layout(prefix)
        prefix += f"{below[0][0]}/"


def label_of(name: str, layout: Layout) -> tuple[str, str] | None:
    """Return label and split ("" without split folders) of a file by its folders; None outside the class folders."""
    if not name.startswith(layout.prefix):
        return None
    parts = unicodedata.normalize("NFC", name[len(layout.prefix) :]).split("/")
    if not layout.parts:
        return (parts[0], "") if len(parts) > 1 else None
    split = SPLIT_FOLDERS.get(parts[0].lower())
    return (parts[1], split) if len(parts) > 2 and split else None


def mask_folders(files: list[str]) -> frozenset[str]:
    """Return the folders of masks that stand beside a folder of images, such as `covid/masks` beside `covid/images`."""
    folders = {str(parent) for name in files for parent in PurePosixPath(name).parents}
    beside = {str(PurePosixPath(folder).parent) for folder in folders if _plain(folder) in _IMAGES}
    return frozenset(f for f in folders if _plain(f) in _MASKS and str(PurePosixPath(f).parent) in beside)


def is_mask(name: str, masks: frozenset[str]) -> bool:
    """Return whether a file lies in one of the folders of masks."""
    return bool(masks) and any(str(parent) in masks for parent in PurePosixPath(name).parents)


def _plain(folder: str) -> str:
    return re.sub(r"[\s-]+", "_", PurePosixPath(folder).name.lower())
