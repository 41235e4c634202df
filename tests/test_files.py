"""Files are the old one or the new one, never half of each."""

import json
import multiprocessing
import os
from pathlib import Path

import pytest

from covid_xray import files
from covid_xray.errors import Busy, InputRefused


def test_write_text_replaces_whole_files(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "a.txt"
    files.write_text(target, "old")
    files.write_text(target, "new")
    assert target.read_text() == "new"
    assert [p.name for p in target.parent.iterdir()] == ["a.txt"]


def test_a_failing_writer_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    files.write_text(target, "old")

    def fail() -> None:
        with files.replacing(target) as temporary:
            temporary.write_text("half")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        fail()
    assert target.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_failing_folder_leaves_the_old_folder_and_no_litter(tmp_path: Path) -> None:
    target = tmp_path / "bundle"
    with files.replacing_folder(target) as temporary:
        (temporary / "a").write_text("old")

    def fail() -> None:
        with files.replacing_folder(target) as temporary:
            (temporary / "a").write_text("new")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        fail()
    assert (target / "a").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["bundle"]


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    target = tmp_path / "bundle"
    for content in ({"a": "1", "b": "2"}, {"c": "3"}):
        with files.replacing_folder(target) as temporary:
            for name, text in content.items():
                (temporary / name).write_text(text)
    assert sorted(p.name for p in target.iterdir()) == ["c"]
    assert [p.name for p in tmp_path.iterdir()] == ["bundle"]


def test_new_files_obey_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        files.write_text(tmp_path / "a", "x")
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640


def test_json_refuses_nan_and_keeps_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "a.json"
    files.write_json(target, {"value": 1, "name": "é"})
    with pytest.raises(ValueError, match="JSON"):
        files.write_json(target, {"value": float("nan")})
    assert json.loads(target.read_text(encoding="utf-8")) == {"value": 1, "name": "é"}


def test_read_bounded(tmp_path: Path) -> None:
    target = tmp_path / "a"
    target.write_bytes(b"12345")
    assert files.read_bounded(target, limit=5) == b"12345"
    with pytest.raises(InputRefused) as refused:
        files.read_bounded(target, limit=4)
    assert refused.value.code == "too-large"


def test_sha256_of_file_and_bytes_agree(tmp_path: Path) -> None:
    data = os.urandom(files.CHUNK + 17)
    (tmp_path / "a").write_bytes(data)
    assert files.sha256_file(tmp_path / "a") == files.sha256_bytes(data)
    assert files.sha256_bytes(b"") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def _hold(folder: Path, ready: "multiprocessing.synchronize.Event", leave: "multiprocessing.synchronize.Event") -> None:
    with files.folder_lock(folder):
        ready.set()
        leave.wait(60)


def test_lock_names_the_holder_and_dies_with_it(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    ready, leave = context.Event(), context.Event()
    holder = context.Process(target=_hold, args=(tmp_path, ready, leave))
    holder.start()
    assert ready.wait(60)
    with pytest.raises(Busy, match=str(holder.pid)), files.folder_lock(tmp_path):
        pass
    holder.kill()
    holder.join()
    with files.folder_lock(tmp_path):
        assert (tmp_path / ".lock").read_text() == str(os.getpid())
