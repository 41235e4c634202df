"""The parts together: what was interrupted goes on, two nodes do not meet, what is done with is swept."""

import os
import stat
import threading
from pathlib import Path
from typing import Any

import pytest

from covid_xray.errors import Busy, StoreFull, UsageError
from covid_xray.files import folder_lock
from covid_xray.inference.predictor import Predictor
from covid_xray.pacs import service
from covid_xray.pacs.service import open_receiver, serve
from covid_xray.pacs.settings import Pacs
from covid_xray.store import worklist
from support import services, studies
from support.bundles import make_bundle
from support.chests import chest

PIXELS = chest(height=64, width=64, body=255, lung=85)


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return Predictor(make_bundle(tmp_path_factory.mktemp("b") / "bundle"))


def test_one_node_works_on_a_store_and_others_only_bring(tmp_path: Path, predictor: Predictor) -> None:
    with services.opened(tmp_path, predictor) as parts:
        with pytest.raises(Busy), services.opened(tmp_path, predictor):
            pass
        with open_receiver(parts.settings, limits=predictor.limits) as entry:
            entry.receive(services.incoming(parts, studies.film(PIXELS)), origin="other")
        assert parts.classify_all() == 1


def test_a_node_without_callers_does_not_start(tmp_path: Path, predictor: Predictor) -> None:
    with pytest.raises(UsageError, match="callers"):
        serve(Pacs(store=tmp_path), predictor, ready=lambda _: None, stopping=threading.Event())


def test_what_waits_at_the_start_is_answered_and_stopping_ends_it(tmp_path: Path, predictor: Predictor) -> None:
    with services.opened(tmp_path, predictor) as parts:
        parts.receiver.receive(services.incoming(parts, studies.film(PIXELS)), origin="A")
        settings = parts.settings
    stopping, ports = threading.Event(), []
    thread = threading.Thread(
        target=serve, args=(settings, predictor), kwargs={"ready": ports.append, "stopping": stopping}
    )
    thread.start()
    with open_receiver(settings, limits=predictor.limits) as entry:
        for _ in range(200):
            if entry.queue.count_states() == {"arrivals answered": 1}:
                break
            stopping.wait(0.05)
        stopping.set()
        thread.join(20)
        assert not thread.is_alive()
        assert entry.queue.count_states() == {"arrivals answered": 1}
    assert ports[0] > 0


def test_a_sweep_deletes_what_is_done_with(tmp_path: Path, predictor: Predictor) -> None:
    with services.opened(tmp_path, predictor, retention_hours=1e-9) as parts:
        parts.receiver.receive(services.incoming(parts, studies.film(PIXELS)), origin="A")
        parts.classify_all()
        parts.receiver.receive(services.incoming(parts, studies.film(PIXELS, number=2)), origin="A")
        parts.clean_up()
        assert parts.queue.count_states() == {"arrivals waiting": 1}
        assert worklist.page(parts.store.database, worklist.Query()).total == 0
        assert len(list(parts.spool.folder.glob("*.dcm"))) == 1


def test_images_without_a_study_are_cleared_unless_a_server_runs(tmp_path: Path, predictor: Predictor) -> None:
    orphan = tmp_path / "store" / "images" / f"{'a' * 32}.png"
    orphan.parent.mkdir(parents=True)
    orphan.touch()
    with folder_lock(tmp_path / "store"), services.opened(tmp_path, predictor):  # a server holds its store
        assert orphan.exists()
    with services.opened(tmp_path, predictor):
        assert not orphan.exists()


def test_the_folders_are_for_their_owner_only(tmp_path: Path, predictor: Predictor) -> None:
    before = os.umask(0o022)
    try:
        with services.opened(tmp_path, predictor):
            folders = [tmp_path / "store", *(path for path in (tmp_path / "store").rglob("*") if path.is_dir())]
    finally:
        os.umask(before)
    assert {path.name for path in folders} >= {"store", "pacs", "incoming", "images"}
    assert {path: oct(stat.S_IMODE(path.stat().st_mode)) for path in folders} == dict.fromkeys(folders, "0o700")


def test_a_full_disk_is_said_once_and_the_answers_go_on_when_there_is_room(
    tmp_path: Path, predictor: Predictor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="covid_xray.pacs")
    stopping, tries = threading.Event(), []
    monkeypatch.setattr("covid_xray.pacs.outage._FIRST_SECONDS", 0.01)
    monkeypatch.setattr("covid_xray.pacs.outage._LONGEST_SECONDS", 0.01)
    with services.opened(tmp_path, predictor) as parts:
        parts.receiver.receive(services.incoming(parts, studies.film(PIXELS)), origin="A")
        put = parts.store.images.put

        def full_for_a_while(*given: Any) -> int:
            tries.append(1)
            if len(tries) <= 20:
                raise StoreFull("no room")
            stopping.set()
            return put(*given)

        monkeypatch.setattr(parts.store.images, "put", full_for_a_while)
        service._process_until(stopping, parts)
        assert parts.queue.count_states() == {"arrivals answered": 1}
    assert len(tries) == 21
    assert caplog.text.count("store-full") == 2  # when it began, and that it is over
