"""Files of the node: generated names, for the owner only, gone when nobody waits for them."""

import os
import shutil
import stat
from collections import namedtuple
from pathlib import Path

import pytest

from covid_xray.errors import StoreFull
from covid_xray.pacs.spool import Spool
from covid_xray.store.records import new_id


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "pacs", reserve=0)


def received(spool: Spool, data: bytes = b"x") -> Path:
    path = spool.incoming / "tmpabc.dcm"
    path.write_bytes(data)
    return path


def test_an_object_is_adopted_without_a_copy_and_results_are_private(spool: Spool) -> None:
    identity, file = new_id(), received(spool)
    spool.store_original(file, identity)
    assert spool.original_path(identity).samefile(file)
    spool.store_result(identity, "sc", b"one")
    spool.store_result(identity, "sc", b"two")  # a second try after a crash
    assert spool.result_path(identity, "sc").read_bytes() == b"two"
    assert stat.S_IMODE(spool.result_path(identity, "sc").stat().st_mode) == 0o600
    assert stat.S_IMODE(spool.folder.stat().st_mode) & 0o077 == 0


@pytest.mark.parametrize("name", ["../../etc/passwd", "1.2.840", "", "A" * 32])
def test_no_file_is_named_after_anything_else(spool: Spool, name: str) -> None:
    for path in (spool.original_path, lambda identity: spool.result_path(identity, "sc")):
        with pytest.raises(ValueError, match="generated id"):
            path(name)


def test_what_nobody_waits_for_is_cleared(spool: Spool) -> None:
    waiting, sending, done = new_id(), new_id(), new_id()
    for identity in (waiting, sending, done):
        spool.original_path(identity).write_bytes(b"x")
        spool.store_result(identity, "sc", b"x")
        spool.store_result(identity, "sr", b"x")
    received(spool)
    (spool.folder / ".lock").touch()
    (spool.folder / "stray").touch()
    known = {"waiting": {waiting}, "unsent": {(sending, "sc")}, "finished": {sending}}
    assert spool.arrival_ids() == {waiting, sending, done}
    assert spool.delete_unneeded(**known) == 2  # original and "sr" of what is finished
    spool.delete_unneeded(**known, age=-1)
    names = {path.name for path in spool.folder.rglob("*") if path.is_file()}
    assert names == {f"{waiting}.dcm", f"{waiting}-sc.dcm", f"{waiting}-sr.dcm", f"{sending}-sc.dcm", ".lock"}


def test_a_disk_below_its_reserve_and_a_full_one_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(1000, 500, 500))
    Spool(tmp_path / "pacs", reserve=500).check_room()
    spool = Spool(tmp_path / "pacs", reserve=501)
    with pytest.raises(StoreFull):
        spool.check_room()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    file = received(spool)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreFull):
        spool.store_original(file, new_id())
    with pytest.raises(StoreFull):
        spool.store_result(new_id(), "sc", b"x")
    assert [path.name for path in spool.folder.iterdir()] == ["incoming"]
