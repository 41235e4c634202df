"""Image files: the same pixels back, private, within the quota, nothing left of what failed."""

import errno
import os
import stat
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from covid_xray.errors import NotFound, StoreFull
from covid_xray.images.radiograph import ImageSource, Radiograph
from covid_xray.limits import Limits
from covid_xray.store import image_files as module
from covid_xray.store.image_files import ImageFiles
from covid_xray.store.records import new_id
from support.drawing import picture


@pytest.fixture
def images(tmp_path: Path) -> ImageFiles:
    return ImageFiles(tmp_path / "images", quota=1 << 20)


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_every_bit_comes_back(images: ImageFiles, bits: int) -> None:
    radiograph = Radiograph(picture(bits=bits), bits=bits)
    identity = new_id()
    size = images.put(identity, radiograph)
    again = images.get(identity, bits=bits, limits=Limits())
    assert np.array_equal(again.pixels, radiograph.pixels)
    assert again.bits == bits
    assert size == (images.folder / f"{identity}.png").stat().st_size == images.used


def test_files_are_private_grey_and_bare(images: ImageFiles) -> None:
    identity = new_id()
    before = os.umask(0)
    try:
        images.put(identity, Radiograph(picture(), source=ImageSource(format="DICOM", view="PA")))
    finally:
        os.umask(before)
    path = images.folder / f"{identity}.png"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with Image.open(path) as image:
        assert image.mode == "L"
        assert not image.info


def test_a_name_is_never_taken_twice(images: ImageFiles) -> None:
    identity = new_id()
    images.put(identity, Radiograph(picture()))
    with pytest.raises(FileExistsError):
        ImageFiles(images.folder, quota=1 << 20).put(identity, Radiograph(picture()))


@pytest.mark.parametrize("name", ["../../etc/passwd", "a" * 31, "A" * 32, "0" * 32 + "/x", ""])
def test_only_generated_names(images: ImageFiles, name: str) -> None:
    for call in (lambda: images.put(name, Radiograph(picture())), lambda: images.remove(name)):
        with pytest.raises(ValueError):
            call()


def test_a_full_quota_leaves_nothing(tmp_path: Path) -> None:
    images = ImageFiles(tmp_path / "images", quota=100)
    with pytest.raises(StoreFull):
        images.put(new_id(), Radiograph(picture()))
    assert list(images.folder.iterdir()) == []
    assert images.used == 0


def test_a_full_disk_leaves_nothing(images: ImageFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module.os, "fsync", full)
    with pytest.raises(StoreFull) as error:
        images.put(new_id(), Radiograph(picture()))
    assert error.value.http_status == 507
    monkeypatch.undo()
    assert list(images.folder.iterdir()) == []
    assert images.used == 0


def test_what_is_gone_is_not_found(images: ImageFiles) -> None:
    identity = new_id()
    images.remove(identity)
    with pytest.raises(NotFound):
        images.get(identity, bits=8, limits=Limits())


def test_clearing_spares_what_is_known_and_what_is_not_ours(images: ImageFiles) -> None:
    known, orphan = new_id(), new_id()
    for identity in (known, orphan):
        images.put(identity, Radiograph(picture()))
    (images.folder / "note.txt").write_text("mine")
    again = ImageFiles(images.folder, quota=1 << 20)
    assert again.remove_orphans(known={known}) == 1
    assert sorted(path.name for path in images.folder.iterdir()) == sorted([f"{known}.png", "note.txt"])
    assert again.used == (images.folder / f"{known}.png").stat().st_size


def test_what_another_process_added_is_counted(tmp_path: Path) -> None:
    mine, other = ImageFiles(tmp_path / "images", quota=10**6), ImageFiles(tmp_path / "images", quota=10**6)
    size = other.put("a" * 32, Radiograph(picture()))
    assert mine.used == 0
    mine.rescan()
    assert mine.used == size
    other.remove("a" * 32)
    mine.rescan()
    assert mine.used == 0


def test_clearing_waits_until_no_process_is_adding(tmp_path: Path) -> None:
    images, other = ImageFiles(tmp_path / "images", quota=10**6), ImageFiles(tmp_path / "images", quota=10**6)
    seen = []

    def clear() -> None:
        with other.write_lock(exclusive=True):
            seen.append("cleared")

    with images.write_lock():
        thread = threading.Thread(target=clear)
        thread.start()
        thread.join(0.2)
        seen.append("added")
    thread.join(10)
    assert seen == ["added", "cleared"]
