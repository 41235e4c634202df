"""Files are the old one or the new one, never half of each."""

import json
import multiprocessing
import os
import re
import stat
import threading
from pathlib import Path

import pytest

from covid_xray import files
from covid_xray.errors import Busy, InputRefused, UsageError


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


def reading(fifo: Path) -> tuple[threading.Thread, list[bytes]]:
    got: list[bytes] = []
    thread = threading.Thread(target=lambda: got.append(fifo.read_bytes()))
    thread.start()
    return thread, got


def test_a_fifo_a_device_a_link_and_a_folder_stay_what_they_are(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo.csv"
    os.mkfifo(fifo)
    reader, got = reading(fifo)
    files.write_text(fifo, "image,label\n")
    reader.join(timeout=20)
    assert got == [b"image,label\n"]
    assert fifo.is_fifo()

    real, link = tmp_path / "real.csv", tmp_path / "link.csv"
    real.write_text("old")
    link.symlink_to(real)
    files.write_text(link, "new")
    assert link.is_symlink()
    assert real.read_text() == "new"

    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(UsageError, match=r"folder is a folder\. Give the name of a file"):
        files.write_text(folder, "x")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fifo.csv", "folder", "link.csv", "real.csv"]


def test_a_device_is_written_into(tmp_path: Path) -> None:
    device = tmp_path / "null"  # a node of our own: /dev/null itself is never put at risk
    try:
        os.mknod(device, 0o600 | stat.S_IFCHR, os.makedev(1, 3))
        device.open("wb").close()
    except PermissionError:
        pytest.skip("no right to make a device node here")
    files.write_text(device, "x" * 100)
    assert device.is_char_device()
    for write in (lambda: files.make_folder(device), lambda: files.replacing_folder(device).__enter__()):
        with pytest.raises(UsageError, match="null is not a folder"):
            write()
    assert device.is_char_device()


def test_a_dash_is_standard_output(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    files.write_text(Path("-"), "image,label\n")
    files.write_text(Path("/dev/stdout"), "a.png,covid\n")
    assert capfdbinary.readouterr().out == b"image,label\na.png,covid\n"
    assert not Path("-").exists()
    assert Path("/dev/stdout").is_symlink()


def test_a_folder_behind_a_link_is_replaced_and_the_link_stays(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "bundle").symlink_to(tmp_path / "disk")
    with files.replacing_folder(tmp_path / "bundle") as temporary:
        (temporary / "a").write_text("new")
    assert (tmp_path / "bundle").is_symlink()
    assert (tmp_path / "disk" / "a").read_text() == "new"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "disk"]


def test_only_one_place_replaces_files() -> None:
    """Writers elsewhere would replace FIFOs and devices again."""
    package = Path(files.__file__).parent
    moving = re.compile(
        r"os\.(replace|rename)\(|shutil\.move\(|\.rename\((?!columns|lambda)|partial\.(for_file|swap)\("
    )
    found = [
        f"{path.relative_to(package)}: {line.strip()}"
        for path in sorted(package.rglob("*.py"))
        if path.name not in ("files.py", "partial.py")
        for line in path.read_text(encoding="utf-8").splitlines()
        if moving.search(line)
    ]
    assert not found


def test_a_refused_start_leaves_no_folder_and_a_failed_run_keeps_its_own(tmp_path: Path) -> None:
    def start(*names: str) -> None:
        with files.folder_lock(tmp_path / "run", scratch=("cache",)):
            for name in names:
                (tmp_path / "run" / name).mkdir()
            raise UsageError("no such model")

    with pytest.raises(UsageError):
        start("cache")
    assert not list(tmp_path.iterdir())
    with pytest.raises(UsageError):
        start("checkpoint")
    assert (tmp_path / "run" / "checkpoint").is_dir()
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="not a folder"), files.folder_lock(tmp_path / "file"):
        pass
