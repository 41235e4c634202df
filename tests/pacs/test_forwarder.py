"""What fails comes again, later and later; what no peer waits for goes from the disk."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from covid_xray.inference.predictor import Predictor
from covid_xray.pacs import forwarder
from covid_xray.pacs.service import NodeServices
from covid_xray.pacs.store_scu import SendResult
from covid_xray.pacs.work_queue import LIVE, PULLED
from support import services, studies
from support.chests import chest

PIXELS = chest(height=64, width=64, body=255, lung=85)
WEB = {"dicomweb": "http://127.0.0.1:9/x"}


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return Predictor(studies.make_lung_bundle(tmp_path_factory.mktemp("b") / "bundle"))


@pytest.fixture
def parts(tmp_path: Path, predictor: Predictor) -> Iterator[NodeServices]:
    settings = {
        "peers": {"one": WEB, "two": WEB},
        "send_to": ["one", "two"],
        "retry_seconds": 100,
        "retry_longest": 300,
    }
    with services.opened(tmp_path, predictor, **settings) as opened:
        opened.receiver.receive(services.incoming(opened, studies.film(PIXELS)), origin="A")
        opened.classify_all()
        yield opened


def results(parts: NodeServices) -> int:
    return len(list(parts.spool.folder.glob("*-*.dcm")))


def answers(monkeypatch: pytest.MonkeyPatch, *codes: str) -> list[int]:
    """Let every peer answer so; returns how many objects each call brought."""
    sizes = []

    def send(_: object, __: object, objects: Sequence[bytes]) -> Iterator[SendResult]:
        sizes.append(len(objects))
        return iter([SendResult(code) for code, _ in zip(codes, objects, strict=False)])

    monkeypatch.setattr(forwarder, "send", send)
    return sizes


def test_files_go_when_the_last_peer_has_them(parts: NodeServices, monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch, "", "", "")
    one, two = parts.forwarders
    assert (one.forward_due(), results(parts)) == (3, 3)
    assert (two.forward_due(), results(parts)) == (3, 0)
    assert parts.queue.count_states() == {"arrivals answered": 1, "deliveries sent": 6}


def test_what_fails_waits_twice_as_long_each_time(parts: NodeServices, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = answers(monkeypatch, "", "status-A700", "no-answer")
    one = parts.forwarders[0]
    assert one.forward_due() == 1
    assert one.forward_due() == 0  # nothing is due yet
    assert sizes == [3]
    waits = []
    for tries in range(4):
        due = forwarder.Delivery("a" * 32, "sc", "one", tries, forwarder.now())
        waits.append(one._delay(due))
    assert waits == [100, 200, 300, 300]
    assert one._delay(forwarder.Delivery("a" * 32, "sc", "one", 9999, forwarder.now())) == 300


def test_what_is_too_old_is_given_up(parts: NodeServices, monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch, "no-answer", "no-answer", "no-answer")
    monkeypatch.setattr(parts.forwarders[0], "_settings", parts.settings.model_copy(update={"give_up_hours": 1e-9}))
    parts.forwarders[0].forward_due()
    assert parts.queue.count_states()["deliveries given up"] == 3


def test_a_result_that_somebody_deleted_is_given_up(parts: NodeServices) -> None:
    for path in parts.spool.folder.glob("*-sc.dcm"):
        path.unlink()
    for path in parts.spool.folder.glob("*-s[re]*.dcm"):
        path.unlink()
    assert parts.forwarders[0].forward_due() == 0
    assert parts.queue.count_states()["deliveries given up"] == 3


def test_an_unforeseen_error_does_not_end_the_forwarder(parts: NodeServices, monkeypatch: pytest.MonkeyPatch) -> None:
    def send(_: object, __: object, objects: Sequence[bytes]) -> Iterator[SendResult]:
        if not failures:
            failures.append(1)
            raise OSError("CANARY")
        return iter([SendResult() for _ in objects])

    failures: list[int] = []
    monkeypatch.setattr(forwarder, "send", send)
    monkeypatch.setattr(forwarder, "_POLL_SECONDS", 0.05)
    thread = parts.forwarders[0]
    thread.start()
    for _ in range(200):
        if parts.queue.count_states().get("deliveries sent") == 3:
            break
        forwarder.threading.Event().wait(0.05)
    thread.stop()
    thread.join(10)
    assert parts.queue.count_states()["deliveries sent"] == 3


def test_one_peer_that_is_down_keeps_no_other_waiting(parts: NodeServices, monkeypatch: pytest.MonkeyPatch) -> None:
    def send(_: object, peer: object, objects: Sequence[bytes]) -> Iterator[SendResult]:
        return iter([SendResult("no-answer" if peer is parts.settings.peers["one"] else "") for _ in objects])

    monkeypatch.setattr(forwarder, "send", send)
    for thread in parts.forwarders:
        thread.start()
        thread.wake.set()
    for _ in range(200):
        if parts.queue.count_states().get("deliveries sent") == 3:
            break
        forwarder.threading.Event().wait(0.05)
    for thread in parts.forwarders:
        thread.stop()
        thread.join(10)
    assert parts.queue.count_states() == {"arrivals answered": 1, "deliveries sent": 3, "deliveries waiting": 3}


def test_what_a_peer_never_takes_is_skipped_with_one_line(
    parts: NodeServices, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    answers(monkeypatch, *["", "not-accepted", "not-accepted"] * 3)
    one = parts.forwarders[0]
    for number in range(3):
        data = studies.film(PIXELS, number=number + 2)
        parts.receiver.receive(services.incoming(parts, data), origin="A")
        parts.classify_all()
        while one.forward_due():
            pass
    assert parts.queue.due_deliveries("one", limit=99) == []
    states = parts.queue.count_states()
    assert states["deliveries sent"] + states["deliveries skipped"] == 12
    lines = [line.message for line in caplog.records if "takes no" in line.message]
    assert len(lines) == len(set(lines)) <= 3


def test_a_peer_that_is_down_gets_no_try_and_no_line_for_each_batch(
    parts: NodeServices, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    answers(monkeypatch, *["no-association"] * 9)
    one = parts.forwarders[0]
    monkeypatch.setattr(one, "_settings", parts.settings.model_copy(update={"retry_seconds": 1e-9}))
    pauses = []
    for _ in range(5):
        one.forward_due()
        pauses.append(one._pause)
    assert pauses == [1, 2, 4, 8, 16]
    assert caplog.text.count("no-association") == 1


def test_results_of_live_images_go_before_those_of_a_pull(parts: NodeServices) -> None:
    receive = parts.receiver.receive
    receive(services.incoming(parts, studies.film(PIXELS, number=2)), origin="web", priority=PULLED)
    parts.classify_all()
    receive(services.incoming(parts, studies.film(PIXELS, number=3)), origin="A", priority=LIVE)
    parts.classify_all()
    due = parts.queue.due_deliveries("one", limit=99)
    assert len(due) == 9
    assert len({one.arrival_id for one in due[:6]}) == 2  # the two that were sent
    assert due[6].created < due[5].created or due[6].arrival_id not in {one.arrival_id for one in due[:6]}
