"""Whatever is named on the command line: every image once, in a stable order, and a code for what is none."""

import contextlib
import io
import os
import struct
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from covid_xray.config import Limits
from covid_xray.errors import BadImage, InputRefused, UsageError
from covid_xray.inference.io.inputs import Item, expand, open_source, require_any, sources_of
from support.bundles import grey
from support.drawing import png

PICTURE = png(grey("covid"))
LIMITS = Limits()


def items(*paths: str | Path, limits: Limits = LIMITS) -> list[Item]:
    return list(expand(paths, limits=limits))


def names(*paths: str | Path) -> list[str]:
    return [item.name for item in items(*paths)]


def problem(item: Item, *, limits: Limits = LIMITS) -> str:
    with pytest.raises(BadImage) as error:
        item.read(limits)
    return error.value.code


def put(path: Path, data: bytes = PICTURE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def archive(path: Path, entries: dict[str, bytes], *, method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", method) as stream:
        for name, data in entries.items():
            stream.writestr(name, data)
    return path


def test_a_folder_gives_its_images_sorted_at_any_depth(tmp_path: Path) -> None:
    for name in ("b.png", "a/z.JPG", "a/y.jpeg", "c/d/e.dcm", "notes.txt", "a/table.csv", "._b.png"):
        put(tmp_path / name)
    put(tmp_path / "1.2.840.1", bytes(128) + b"DICM")
    expected = ["1.2.840.1", "a/y.jpeg", "a/z.JPG", "b.png", "c/d/e.dcm"]
    assert names(tmp_path) == [str(tmp_path / name) for name in expected]


def test_the_order_of_the_file_system_does_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "cab":
        put(tmp_path / f"{name}.png")
    before = names(tmp_path)
    scandir = os.scandir
    listed = sorted(scandir(tmp_path), key=lambda entry: entry.name, reverse=True)
    assert [entry.name for entry in listed] == ["c.png", "b.png", "a.png"]
    monkeypatch.setattr(os, "scandir", lambda _: contextlib.nullcontext(listed))
    assert names(tmp_path) == before


def test_the_files_of_index_in_folders_links_and_archives(tmp_path: Path) -> None:
    """DICOM without a suffix, other formats, linked folders; what is passed over is counted."""
    dicom, tiff = bytes(128) + b"DICM", b"II*\0" + bytes(400)
    files = {"IM1": dicom, "1.2.3": dicom, "a.ima": dicom, "b.TIF": tiff, "scan": tiff, "c.nii.gz": b"x"}
    others = {"DICOMDIR": dicom, "readme": b"text", "d.txt": b"", "e.zip.bak": b""}
    for name, data in (files | others).items():
        put(tmp_path / "far" / name, data)
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "link").symlink_to(tmp_path / "far")
    zipped = archive(tmp_path / "cd.zip", files | others | {"DICOM/IM9": dicom, ".hidden/x.png": PICTURE})
    for place, extra in ((tmp_path / "set" / "link", []), (zipped, ["DICOM/IM9"])):
        passed: Counter[str] = Counter()
        found = [item.name for item in expand([place], limits=LIMITS, passed_over=passed)]
        assert found == [f"{place}/{name}" for name in sorted([*files, *extra])]
        assert passed == {"DICOMDIR": 1, "readme": 1, ".txt": 1, ".bak": 1}
    assert len(names(tmp_path / "set")) == len(files)


def test_globs(tmp_path: Path) -> None:
    for name in ("x/1.png", "x/y/2.png", "x/y/3.jpg"):
        put(tmp_path / name)
    assert names(f"{tmp_path}/**/*.png") == [f"{tmp_path}/x/1.png", f"{tmp_path}/x/y/2.png"]


def test_a_file_with_the_signs_of_a_glob_in_its_name_is_that_file(tmp_path: Path) -> None:
    path = put(tmp_path / "[red]*.png")
    put(tmp_path / "r.png")
    assert names(path) == [str(path)]


def test_a_named_file_is_taken_whatever_its_suffix(tmp_path: Path) -> None:
    path = put(tmp_path / "picture.txt")
    assert items(path) == [Item(str(path), path)]


def test_each_image_once(tmp_path: Path) -> None:
    path = put(tmp_path / "a.png")
    assert names(tmp_path, path, f"{tmp_path}/*.png") == [str(path)]


@pytest.mark.parametrize("name", ["nowhere", "no*where", "x" * 5000, "a\0b"])
def test_nothing_of_the_name(tmp_path: Path, name: str) -> None:
    (item,) = items(f"{tmp_path}/{name}")
    assert problem(item) == "missing-file"


def test_a_pipe_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (item,) = items(tmp_path / "pipe.png")
    assert problem(item) == "missing-file"


def test_an_empty_folder_is_not_passed_over(tmp_path: Path) -> None:
    path = put(tmp_path / "full" / "a.png")
    (tmp_path / "empty").mkdir()
    first, second = items(tmp_path / "empty", tmp_path / "full")
    assert (first.name, problem(first)) == (str(tmp_path / "empty"), "no-images")
    assert second.read(LIMITS) == path


def test_nothing_at_all_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputRefused) as error:
        require_any(items(tmp_path), [tmp_path])
    assert error.value.code == "no-images"
    with pytest.raises(InputRefused):
        require_any([], [])
    require_any(items(tmp_path / "nowhere"), [])


def test_zip_entries_are_named_and_read(tmp_path: Path) -> None:
    other = png(grey("normal"))
    path = archive(
        tmp_path / "scans.ZIP",
        {
            "deep/er/b.png": other,
            "a.png": PICTURE,
            "deep/": b"",
            "notes.txt": b"x",
            "../up.png": PICTURE,
            "/abs.png": PICTURE,
            "inner.zip": PICTURE,
            "__MACOSX/deep/._b.png": b"x",
            "._a.png": b"x",
        },
    )
    found = items(path)
    assert [item.name for item in found] == [f"{path}/{n}" for n in ("../up.png", "/abs.png", "a.png", "deep/er/b.png")]
    assert found[-1].read(LIMITS) == other
    assert sorted(p.name for p in tmp_path.iterdir()) == ["scans.ZIP"]


def test_a_zip_without_images(tmp_path: Path) -> None:
    (item,) = items(archive(tmp_path / "a.zip", {"notes.txt": b"x"}))
    assert problem(item) == "no-images"


@pytest.mark.parametrize("data", [b"", b"PK", b"no archive at all" * 10], ids=["empty", "short", "other"])
def test_no_zip(tmp_path: Path, data: bytes) -> None:
    (item,) = items(put(tmp_path / "a.zip", data))
    assert problem(item) == "bad-zip"


def test_a_cut_zip(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.zip", {"a.png": PICTURE, "b.png": PICTURE})
    put(path, path.read_bytes()[:-30])
    (item,) = items(path)
    assert problem(item) == "bad-zip"


def test_a_damaged_entry_fails_alone(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.zip", {"a.png": PICTURE, "b.png": PICTURE})
    data = bytearray(path.read_bytes())
    data[data.index(PICTURE) + len(PICTURE) // 2] ^= 1
    put(path, bytes(data))
    first, second = items(path)
    assert problem(first) == "bad-zip"
    assert second.read(LIMITS) == PICTURE


def test_a_password_is_a_bad_zip(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.zip", {"a.png": PICTURE})
    data = bytearray(path.read_bytes())
    for magic, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # mark the entry as encrypted
        data[data.index(magic) + flags] |= 1
    put(path, bytes(data))
    (item,) = items(path)
    assert problem(item) == "bad-zip"


def test_zip_limits(tmp_path: Path) -> None:
    many = archive(tmp_path / "many.zip", {f"{i}.png": b"x" for i in range(11)})
    large = archive(tmp_path / "large.zip", {"a.png": bytes(2000)})
    tight = archive(tmp_path / "tight.zip", {"a.png": bytes(100_000)}, method=zipfile.ZIP_DEFLATED)
    limits = Limits(zip_entries=10, zip_bytes=200_000)
    for path, allowed in ((many, limits), (large, Limits(zip_bytes=1999)), (tight, limits)):
        (item,) = items(path, limits=allowed)
        assert problem(item) == "zip-limits"


def test_a_huge_directory_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.zip", {f"{i}.png": b"x" for i in range(3000)})
    (item,) = items(path, limits=Limits(zip_entries=10))
    assert problem(item) == "zip-limits"


def test_the_size_that_an_entry_declares_is_not_believed(tmp_path: Path) -> None:
    path = archive(tmp_path / "bomb.zip", {"a.png": bytes(1 << 20)}, method=zipfile.ZIP_DEFLATED)
    data = bytearray(path.read_bytes())
    for magic, at in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):  # the uncompressed size: 100 bytes
        place = data.index(magic) + at
        data[place : place + 4] = struct.pack("<I", 100)
    put(path, bytes(data))
    (item,) = items(path)
    assert problem(item, limits=Limits(upload_bytes=1000)) in {"too-large", "bad-zip"}


def test_an_entry_larger_than_an_upload_may_be(tmp_path: Path) -> None:
    (item,) = items(archive(tmp_path / "a.zip", {"a.png": os.urandom(2000)}))
    assert problem(item, limits=Limits(upload_bytes=1999)) == "too-large"
    assert len(item.read(Limits(upload_bytes=2000))) == 2000


def test_what_is_in_memory_passes_the_same_door(tmp_path: Path) -> None:
    grey = np.tile(np.arange(0, 240, 8, dtype=np.uint8), (20, 1))
    Image.fromarray(grey).save(tmp_path / "a.png")
    colours = np.repeat(grey[..., None], 3, axis=2)
    with (tmp_path / "a.png").open("rb") as stream:
        sources = [grey, colours, Image.fromarray(grey), Image.fromarray(colours), stream, str(tmp_path / "a.png")]
        for source in sources:
            assert (open_source(source, limits=Limits()).pixels == grey).all()
    words = grey.astype(np.uint16) * 257
    assert open_source(words, limits=Limits()).bits == 16
    assert (open_source(Image.fromarray(words), limits=Limits()).pixels == words).all()


@pytest.mark.parametrize("source", [7, None, ["a.png"], io.StringIO("text")])
def test_what_is_no_image_is_refused(source: object) -> None:
    with pytest.raises(TypeError, match="Give a path, bytes, an array"):
        open_source(source, limits=Limits())  # type: ignore[arg-type]


def test_arrays_of_other_shapes_are_bad_images() -> None:
    with pytest.raises(BadImage, match="one plane"):
        open_source(np.zeros((3, 20, 20), np.uint8), limits=Limits())


def test_a_folder_or_a_data_frame_stands_for_its_images(tmp_path: Path) -> None:
    import pandas as pd

    Image.new("L", (9, 9)).save(tmp_path / "a.png")
    assert [item.name for item in sources_of(tmp_path, limits=Limits())] == [str(tmp_path / "a.png")]
    assert list(sources_of(pd.DataFrame({"Image": ["x.png"]}), limits=Limits())) == ["x.png"]
    assert list(sources_of(["y.png"], limits=Limits())) == ["y.png"]
    with pytest.raises(UsageError, match="no column image"):
        sources_of(pd.DataFrame({"file": ["x.png"]}), limits=Limits())
