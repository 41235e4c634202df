"""The door: what is let in is on disk and committed, what is not leaves nothing."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from covid_xray.errors import BadImage, Busy, CovidXrayError, StoreFull
from covid_xray.images.decode import decode
from covid_xray.inference.predictor import Predictor
from covid_xray.pacs.receiver import AnnouncedObject, Mismatch, Receiver
from covid_xray.pacs.service import NodeServices
from covid_xray.pacs.work_queue import LIVE, PULLED, URGENT
from support import services, studies
from support.chests import chest

PIXELS = chest(height=64, width=64)


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return Predictor(studies.make_lung_bundle(tmp_path_factory.mktemp("b") / "bundle"))


@pytest.fixture
def parts(tmp_path: Path, predictor: Predictor) -> Iterator[NodeServices]:
    with services.opened(tmp_path, predictor) as opened:
        yield opened


def files(parts: NodeServices) -> list[str]:
    return [path.name for path in parts.spool.folder.glob("*.dcm")]


def test_it_is_on_disk_and_committed_and_taken_once(parts: NodeServices) -> None:
    received = services.incoming(parts, studies.film(PIXELS))
    assert parts.receiver.receive(received, origin="MODALITY")
    assert not parts.receiver.receive(received, origin="OTHER")
    assert parts.queue.count_states() == {"arrivals waiting": 1}
    (name,) = files(parts)
    assert (parts.spool.folder / name).read_bytes() == received.read_bytes()
    changed = services.incoming(parts, studies.film(PIXELS, PatientName="Corrected^Name"))
    assert parts.receiver.receive(changed, origin="MODALITY")  # the same SOP Instance UID with other content
    assert parts.queue.count_states() == {"arrivals waiting": 2}


def test_the_same_object_from_many_sides_at_once_is_one(parts: NodeServices) -> None:
    data, taken = studies.film(PIXELS), []

    def take(number: int) -> None:
        taken.append(parts.receiver.receive(services.incoming(parts, data, f"{number}.dcm"), origin="MODALITY"))

    threads = [threading.Thread(target=take, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == [False] * 7 + [True]
    assert len(files(parts)) == 1


def test_other_objects_are_counted_and_not_kept(parts: NodeServices) -> None:
    other = studies.film(PIXELS, SOPClassUID="1.2.840.10008.5.1.4.1.1.7", Modality="OT")
    assert parts.receiver.receive(services.incoming(parts, other), origin="MODALITY")
    assert parts.queue.count_states() == {"arrivals no result": 1}
    assert files(parts) == []


WRONG = {
    "truncated": (BadImage, studies.film(PIXELS)[:-200], 0xC210),
    "no DICOM": (BadImage, b"x" * 300, 0xC210),
    "mismatch": (Mismatch, studies.film(PIXELS), 0xA900),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_refused_leaves_nothing_and_has_its_status(name: str, parts: NodeServices) -> None:
    kind, data, status = WRONG[name]
    announced = AnnouncedObject(sop_uid="1.2.3") if name == "mismatch" else None
    with pytest.raises(kind) as refusal:
        parts.receiver.receive(services.incoming(parts, data), origin="MODALITY", announced=announced)
    assert refusal.value.dicom_status == status
    assert (parts.queue.count_states(), files(parts)) == ({}, [])


def test_no_room_is_out_of_resources(tmp_path: Path, predictor: Predictor) -> None:
    with services.opened(tmp_path, predictor, waiting=1) as parts:
        assert parts.receiver.receive(services.incoming(parts, studies.film(PIXELS)), origin="A")
        with pytest.raises(Busy) as refusal:
            parts.receiver.receive(services.incoming(parts, studies.film(PIXELS, number=2)), origin="A")
        assert refusal.value.dicom_status == 0xA700
        known = services.incoming(parts, studies.film(PIXELS))
        assert not parts.receiver.receive(known, origin="A")  # needs no room
    with services.opened(tmp_path, predictor, reserve_bytes=1 << 60) as parts:
        with pytest.raises(StoreFull) as full:
            parts.receiver.receive(services.incoming(parts, studies.film(PIXELS, number=3)), origin="A")
        assert full.value.dicom_status == 0xA700
        assert len(files(parts)) == 1


def test_a_commit_that_fails_leaves_no_file(parts: NodeServices, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_: object) -> list[bool]:
        raise StoreFull("no room")

    monkeypatch.setattr(parts.queue, "add", fails)
    with pytest.raises(StoreFull):
        parts.receiver.receive(services.incoming(parts, studies.film(PIXELS)), origin="A")
    assert files(parts) == []


def test_too_slow_decoding_is_out_of_resources(parts: NodeServices, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(_: Path, **__: object) -> None:
        raise BadImage("too slow", code="decode-timeout")

    monkeypatch.setattr("covid_xray.pacs.receiver.decode_limited", slow)
    with pytest.raises(CovidXrayError) as refusal:
        parts.receiver.receive(services.incoming(parts, studies.film(PIXELS)), origin="A")
    assert refusal.value.dicom_status == 0xA700


def test_all_that_was_begun_is_committed_at_the_end(tmp_path: Path, predictor: Predictor) -> None:
    with services.opened(tmp_path, predictor) as parts:
        for number in range(3):
            parts.receiver.receive(services.incoming(parts, studies.film(PIXELS, number=number + 1)), origin="A")
    with services.opened(tmp_path, predictor) as parts:
        assert parts.queue.count_waiting() == 3
        assert decode(parts.spool.folder / files(parts)[0]).pixels.shape == (64, 64)
        assert isinstance(parts.receiver, Receiver)


def test_a_pull_leaves_room_for_what_is_sent(tmp_path: Path, predictor: Predictor) -> None:
    with services.opened(tmp_path, predictor, waiting=2) as parts:
        for number, priority in ((1, PULLED), (2, LIVE)):
            data = studies.film(PIXELS, number=number)
            assert parts.receiver.receive(services.incoming(parts, data), origin="A", priority=priority)
    with services.opened(tmp_path, predictor, waiting=4) as parts:
        with pytest.raises(Busy):
            parts.receiver.receive(
                services.incoming(parts, studies.film(PIXELS, number=3)), origin="A", priority=PULLED
            )
        assert parts.receiver.receive(services.incoming(parts, studies.film(PIXELS, number=3)), origin="A")


def test_an_urgent_procedure_is_urgent_when_it_was_sent(parts: NodeServices) -> None:
    for number, priority in ((1, LIVE), (2, PULLED)):
        data = studies.film(PIXELS, number=number, RequestedProcedurePriority="STAT")
        parts.receiver.receive(services.incoming(parts, data), origin="A", priority=priority)
    assert [one.priority for one in parts.queue.claim(limit=2)] == [URGENT, PULLED]
