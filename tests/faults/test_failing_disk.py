"""Every I/O call fails once, and the disk is full: the old artefact is intact, no litter, and the message names it."""

import builtins
import errno
import io
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import saver

from covid_xray import files, partial
from covid_xray.bundle.bundle import load_bundle, write_bundle
from covid_xray.inference.finding import Failure, ModelIdentity
from covid_xray.inference.io.results import RowFile
from covid_xray.training import checkpoint
from support import bundles

IDENTITY = ModelIdentity("small", "1", "ab" * 32)
CLASSES = ("covid", "normal", "virus")
NETWORK = bundles.network()


def write_checkpoint(folder: Path, number: int) -> None:
    checkpoint.save(folder / "checkpoint", saver.generation(number))


def read_checkpoint(folder: Path) -> int:
    return checkpoint.load(folder / "checkpoint").schedule.epoch


def write_a_bundle(folder: Path, number: int) -> None:
    write_bundle(folder / "bundle", model=NETWORK, facts=saver.bundle_facts(number))


def read_a_bundle(folder: Path) -> int:
    return int(load_bundle(folder / "bundle").version)


def write_file(folder: Path, number: int) -> None:
    files.write_text(folder / "file.txt", f"{number}\n" * 50_000)


def read_file(folder: Path) -> int:
    (number,) = set((folder / "file.txt").read_text().splitlines())
    return int(number)


def write_rows(folder: Path, number: int) -> None:
    """Row `number` is added to those that are there."""
    with RowFile(folder / "rows.csv", identity=IDENTITY, classes=CLASSES, resume=True) as rows:
        if str(number) not in rows.done:
            rows.write(Failure(str(number), "empty", "expected x. Received: y" * 5_000))


def read_rows(folder: Path) -> int:
    with RowFile(folder / "rows.csv", identity=IDENTITY, classes=CLASSES, resume=True) as rows:
        return max(int(name) for name in rows.done)


KINDS: dict[str, tuple[Callable[[Path, int], None], Callable[[Path], int]]] = {
    "checkpoint": (write_checkpoint, read_checkpoint),
    "bundle": (write_a_bundle, read_a_bundle),
    "file": (write_file, read_file),
    "rows": (write_rows, read_rows),
}


class Disk:
    """Counts the calls that change the disk, and lets the n-th fail."""

    def __init__(self, fail_at: int, *, code: int) -> None:
        self.calls, self.fail_at, self.code = 0, fail_at, code

    def count(self) -> None:
        self.calls += 1
        if self.calls == self.fail_at:
            raise OSError(self.code, os.strerror(self.code))

    def wrap(self, function: Callable) -> Callable:
        def wrapped(*arguments, **options):
            self.count()
            return function(*arguments, **options)

        return wrapped

    def opened(self, function: Callable) -> Callable:
        """`open` for writing: it counts, and so does every write to what it gives."""

        def wrapped(file, mode="r", *arguments, **options):
            if not set(mode) & set("wax+"):
                return function(file, mode, *arguments, **options)
            self.count()
            return _Counting(function(file, mode, *arguments, **options), self)

        return wrapped


class _Counting:
    """A stream whose writes are counted."""

    def __init__(self, stream: io.IOBase, disk: Disk) -> None:
        self._stream, self._disk = stream, disk

    def write(self, data: object) -> int:
        self._disk.count()
        return self._stream.write(data)  # type: ignore[attr-defined]

    def __enter__(self) -> "_Counting":
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._stream)

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)


def failing(patch: pytest.MonkeyPatch, fail_at: int, *, code: int) -> Disk:
    disk = Disk(fail_at, code=code)
    for name in ("write", "fsync", "open", "replace", "rename", "link", "mkdir", "truncate"):
        patch.setattr(os, name, disk.wrap(getattr(os, name)))
    patch.setattr(io, "open", disk.opened(io.open))  # what Path.open calls
    patch.setattr(builtins, "open", disk.opened(builtins.open))
    patch.setattr(partial, "_exchange", disk.wrap(partial._exchange))
    return disk


def litter(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*") if path.name.startswith((".partial", ".former"))]


@pytest.mark.parametrize("exchange", [True, False], ids=["one-step", "two-steps"])
@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC], ids=["EIO", "ENOSPC"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_nth_call_fails(
    kind: str, code: int, exchange: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, read = KINDS[kind]
    if not exchange:
        monkeypatch.setattr(partial, "_exchange", lambda *_: False)
    number, failed = 1, 0
    write(tmp_path, number)
    for fail_at in range(1, 400):
        with monkeypatch.context() as patch:
            disk = failing(patch, fail_at, code=code)
            try:
                write(tmp_path, number + 1)
                error = None
            except OSError as raised:
                error = raised
        assert not litter(tmp_path)
        received = read(tmp_path)
        if error is None:
            assert received == number + 1
            number += 1
            if disk.calls < fail_at:
                break
        else:
            failed += 1
            assert error.errno == code
            assert received in (number, number + 1), "the old one or the new one, whole"
            number = received
    else:
        raise AssertionError("expected it to pass in the end. Received: 399 failures")
    assert failed >= 3, "the calls were really made to fail"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MiB of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if not shutil.which("mount") or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("a small disk cannot be mounted here: that needs root and leave to mount")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("kind", KINDS)
def test_a_full_disk_keeps_the_old_one(kind: str, small_disk: Path) -> None:
    write, read = KINDS[kind]
    write(small_disk, 1)
    filler = small_disk / "filler"
    with pytest.raises(OSError, match="No space left"):  # fill it to the last byte
        filler.write_bytes(np.zeros(2 << 20, np.uint8).tobytes())
    with pytest.raises(OSError, match="No space left") as error:
        write(small_disk, 2)
    assert kind == "rows" or str(small_disk) in str(error.value), "the message names what could not be written"
    assert not litter(small_disk)
    filler.unlink()
    assert read(small_disk) == 1
    write(small_disk, 2)
    assert read(small_disk) == 2
