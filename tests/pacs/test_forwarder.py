"""What fails comes again, later and later; what no peer waits for goes from the disk."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from covid_xray.inference.predictor import Predictor
from covid_xray.pacs import forwarder
from covid_xray.pacs.service import Works
from covid_xray.pacs.store_scu import Sent
from support import studies, works
from support.chests import chest

PIXELS = chest(height=64, width=64, body=255, lung=85)
WEB = {"dicomweb": "http://127.0.0.1:9/x"}


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return Predictor(studies.make_lung_bundle(tmp_path_factory.mktemp("b") / "bundle"))


@pytest.fixture
def parts(tmp_path: Path, predictor: Predictor) -> Iterator[Works]:
    settings = {
        "peers": {"one": WEB, "two": WEB},
        "send_to": ["one", "two"],
        "retry_seconds": 100,
        "retry_longest": 300,
    }
    with works.opened(tmp_path, predictor, **settings) as opened:
        opened.intake.take(works.given(opened, studies.film(PIXELS)), origin="A")
        opened.answer_all()
        yield opened


def results(parts: Works) -> int:
    return len(list(parts.spool.folder.glob("*-*.dcm")))


def answers(monkeypatch: pytest.MonkeyPatch, *codes: str) -> list[int]:
    """Let every peer answer so; returns how many objects each call brought."""
    sizes = []

    def send(_: object, __: object, objects: Sequence[bytes]) -> Iterator[Sent]:
        sizes.append(len(objects))
        return iter([Sent(code) for code, _ in zip(codes, objects, strict=False)])

    monkeypatch.setattr(forwarder, "send", send)
    return sizes


def test_files_go_when_the_last_peer_has_them(parts: Works, monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch, "", "", "")
    one, two = parts.couriers
    assert (one.bring(), results(parts)) == (3, 3)
    assert (two.bring(), results(parts)) == (3, 0)
    assert parts.arrivals.counts() == {"arrivals answered": 1, "deliveries sent": 6}


def test_what_fails_waits_twice_as_long_each_time(parts: Works, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = answers(monkeypatch, "", "status-A700", "no-answer")
    one = parts.couriers[0]
    assert one.bring() == 1
    assert one.bring() == 0  # nothing is due yet
    assert sizes == [3]
    waits = []
    for tries in range(4):
        due = forwarder.Delivery("a" * 32, "sc", "one", tries, forwarder.now())
        waits.append(one._wait(due))
    assert waits == [100, 200, 300, 300]
    assert one._wait(forwarder.Delivery("a" * 32, "sc", "one", 9999, forwarder.now())) == 300


def test_what_is_too_old_is_given_up(parts: Works, monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch, "no-answer", "no-answer", "no-answer")
    monkeypatch.setattr(parts.couriers[0], "_settings", parts.settings.model_copy(update={"give_up_hours": 1e-9}))
    parts.couriers[0].bring()
    assert parts.arrivals.counts()["deliveries given up"] == 3


def test_a_result_that_somebody_deleted_is_given_up(parts: Works) -> None:
    for path in parts.spool.folder.glob("*-sc.dcm"):
        path.unlink()
    for path in parts.spool.folder.glob("*-s[re]*.dcm"):
        path.unlink()
    assert parts.couriers[0].bring() == 0
    assert parts.arrivals.counts()["deliveries given up"] == 3


def test_an_unforeseen_error_does_not_end_the_courier(parts: Works, monkeypatch: pytest.MonkeyPatch) -> None:
    def send(_: object, __: object, objects: Sequence[bytes]) -> Iterator[Sent]:
        if not failures:
            failures.append(1)
            raise OSError("CANARY")
        return iter([Sent() for _ in objects])

    failures: list[int] = []
    monkeypatch.setattr(forwarder, "send", send)
    monkeypatch.setattr(forwarder, "_PAUSE", 0.05)
    courier = parts.couriers[0]
    courier.start()
    for _ in range(200):
        if parts.arrivals.counts().get("deliveries sent") == 3:
            break
        forwarder.threading.Event().wait(0.05)
    courier.stop()
    courier.join(10)
    assert parts.arrivals.counts()["deliveries sent"] == 3


def test_one_peer_that_is_down_keeps_no_other_waiting(parts: Works, monkeypatch: pytest.MonkeyPatch) -> None:
    def send(_: object, peer: object, objects: Sequence[bytes]) -> Iterator[Sent]:
        return iter([Sent("no-answer" if peer is parts.settings.peers["one"] else "") for _ in objects])

    monkeypatch.setattr(forwarder, "send", send)
    for courier in parts.couriers:
        courier.start()
        courier.news.set()
    for _ in range(200):
        if parts.arrivals.counts().get("deliveries sent") == 3:
            break
        forwarder.threading.Event().wait(0.05)
    for courier in parts.couriers:
        courier.stop()
        courier.join(10)
    assert parts.arrivals.counts() == {"arrivals answered": 1, "deliveries sent": 3, "deliveries waiting": 3}
