"""WorkQueue and deliveries: each once, in order, and what waits is what a crash interrupted."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from covid_xray.pacs import work_queue as module
from covid_xray.pacs.work_queue import ANSWERED, FAILED, NO_RESULT, Arrival, Outcome, WorkQueue
from covid_xray.store.database import Database, sqlite_url
from covid_xray.store.records import new_id
from covid_xray.store.tables import deliveries


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    url = request.getfixturevalue("postgresql") if request.param == "postgresql" else sqlite_url(tmp_path / "a.sqlite")
    opened = Database(url)
    yield opened
    opened.close()


@pytest.fixture
def queue(database: Database) -> WorkQueue:
    return WorkQueue(database)


def arrival(number: int, content: str = "a") -> Arrival:
    return Arrival(new_id(), "MODALITY", "1.2", f"1.2.{number}", content * 64)


def test_the_same_object_is_one_and_other_content_is_another(queue: WorkQueue) -> None:
    first = arrival(1)
    assert queue.add([first, arrival(1), arrival(2), arrival(1, "b")]) == [True, False, True, True]
    assert queue.add([arrival(1)]) == [False]
    assert queue.contains("1.2.1", "a" * 64)
    assert not queue.contains("1.2.2", "b" * 64)
    assert queue.count_waiting() == 3


def test_the_newest_are_begun_first_and_finished_with_their_deliveries(queue: WorkQueue) -> None:
    new = [arrival(number) for number in range(5)]
    for one in reversed(new):
        queue.add([one])
    begun = queue.claim(limit=3)
    assert [one.sop_uid for one in begun] == ["1.2.0", "1.2.1", "1.2.2"]
    outcomes = [
        Outcome(begun[0].id, ANSWERED, kinds=("sc", "sr")),
        Outcome(begun[1].id, NO_RESULT, "not-a-chest"),
        Outcome(begun[2].id, FAILED, "damaged"),
    ]
    queue.record(outcomes, peers=["one", "two"])
    assert queue.count_states() == {
        "arrivals answered": 1, "arrivals no result": 1, "arrivals failed": 1, "arrivals waiting": 2,
        "deliveries waiting": 4,
    }  # fmt: skip
    assert queue.waiting_ids() == {new[3].id, new[4].id}
    assert queue.finished_ids({one.id for one in new} | {"f" * 32}) == {one.id for one in begun}
    assert queue.unsent_results() == {(begun[0].id, "sc"), (begun[0].id, "sr")}


def test_what_was_tried_often_comes_last_and_alone(queue: WorkQueue) -> None:
    queue.add([arrival(1), arrival(2)])
    for _ in range(module.ALONE):
        assert len(queue.claim(limit=9)) == 2
    assert [one.sop_uid for one in queue.claim(limit=9)] == ["1.2.2"]
    queue.add([arrival(3)])
    assert queue.claim(limit=9)[0].sop_uid == "1.2.3"


def test_urgent_objects_come_first_then_sent_ones_then_fetched_ones(queue: WorkQueue) -> None:
    kinds = {"live": module.LIVE, "urgent": module.URGENT, "pulled": module.PULLED}
    new = {name: replace(arrival(number), priority=kinds[name]) for number, name in enumerate(kinds)}
    queue.add([*new.values()])
    queue.claim(limit=3)  # a try, during which the process died, costs nobody the place
    begun = [queue.claim(limit=1)[0] for _ in range(1)]
    assert [one.id for one in begun] == [new["urgent"].id]
    queue.record([Outcome(one.id, ANSWERED, kinds=("sc",)) for one in new.values()], peers=["one"])
    due = queue.due_deliveries("one", limit=9)
    assert [one.arrival_id for one in due] == [new[name].id for name in ("urgent", "live", "pulled")]


def test_what_was_given_up_is_listed_and_queued_again(queue: WorkQueue) -> None:
    queue.add([arrival(1), arrival(2)])
    begun = queue.claim(limit=2)
    queue.record([Outcome(one.id, ANSWERED, kinds=("sc", "seg")) for one in begun], peers=["one", "two"])
    for due in queue.due_deliveries("one", limit=9):
        if due.kind == "seg":
            queue.skip([due], "not-accepted")
        else:
            queue.reschedule([(due, "no-answer", None)])
    listed = queue.list_unsent("one")
    assert sorted((one.kind, one.state, one.code) for one in listed) == [
        ("sc", "given up", "no-answer"), ("sc", "given up", "no-answer"),
        ("seg", "skipped", "not-accepted"), ("seg", "skipped", "not-accepted"),
    ]  # fmt: skip
    assert queue.list_unsent("two") == []
    kept = queue.unsent_results()
    assert {(one.id, "sc") for one in begun} <= kept  # its file is needed to send it again
    before = queue.due_deliveries("one", limit=9)
    assert queue.send_again("two") == 0
    assert queue.send_again("one", ids=[begun[0].id]) == 1
    assert queue.send_again() == 1
    (again, _) = queue.due_deliveries("one", limit=9)
    assert (before, again.tries, again.kind) == ([], 0, "sc")
    assert again.created > listed[0].created  # so that it is not given up at once for its age


def test_a_commitment_that_does_not_come_makes_it_due_again(queue: WorkQueue) -> None:
    queue.add([arrival(1)])
    queue.record([Outcome(queue.claim(limit=1)[0].id, ANSWERED, kinds=("sc",))], peers=["one"])
    due = queue.due_deliveries("one", limit=9)
    queue.await_commitment(due, "2.25.1", seconds=3600)
    assert queue.due_deliveries("one", limit=9) == []
    assert [one.kind for one in queue.find_uncommitted("2.25.1")] == ["sc"]
    assert queue.find_uncommitted("2.25.2") == []
    queue.await_commitment(due, "2.25.1", seconds=-1)
    assert [one.state for one in queue.due_deliveries("one", limit=9)] == ["uncommitted"]
    queue.mark_sent(due)
    assert queue.count_states()["deliveries sent"] == 1


def test_a_peer_gets_only_what_it_takes(queue: WorkQueue) -> None:
    queue.add([arrival(1)])
    outcome = Outcome(queue.claim(limit=1)[0].id, ANSWERED, kinds=("sc", "fhir"))
    queue.record(
        [outcome], peers=["archive", "server"], takes=lambda peer, kind: (peer == "server") == (kind == "fhir")
    )
    assert [one.kind for one in queue.due_deliveries("server", limit=9)] == ["fhir"]
    assert [one.kind for one in queue.due_deliveries("archive", limit=9)] == ["sc"]


def test_a_try_that_was_not_the_arrivals_fault_does_not_count(queue: WorkQueue) -> None:
    queue.add([arrival(1)])
    for _ in range(5):
        queue.release(queue.claim(limit=1))
    assert queue.claim(limit=1)[0].tries == 0


def test_deliveries_are_due_sent_put_off_or_given_up(queue: WorkQueue) -> None:
    queue.add([arrival(1)])
    begun = queue.claim(limit=1)[0]
    queue.record([Outcome(begun.id, ANSWERED, kinds=("sc", "sr", "seg"))], peers=["one", "two"])
    due = queue.due_deliveries("one", limit=9)
    assert {one.kind for one in due} == {"sc", "sr", "seg"}
    queue.mark_sent(due[:1])
    queue.reschedule([(due[1], "status-A700", 3600), (due[2], "no-answer", None)])
    assert queue.due_deliveries("one", limit=9) == []
    assert len(queue.due_deliveries("two", limit=2)) == 2
    assert queue.count_states() == {
        "arrivals answered": 1, "deliveries sent": 1, "deliveries waiting": 4, "deliveries given up": 1,
    }  # fmt: skip
    assert (begun.id, due[0].kind) in queue.unsent_results([begun.id])  # the other peer still waits for it
    queue.mark_sent(queue.due_deliveries("two", limit=9))
    assert queue.unsent_results([begun.id]) == {(begun.id, one.kind) for one in due[1:]}  # also what was given up


def test_only_what_is_done_with_is_forgotten(queue: WorkQueue, database: Database) -> None:
    queue.add([arrival(1), arrival(2)])
    begun = queue.claim(limit=1)[0]
    queue.record([Outcome(begun.id, ANSWERED, kinds=("sc",))], peers=["one"])
    queue.delete_finished(hours=0)
    queue.delete_finished(hours=1e-9)
    assert queue.count_states() == {"arrivals answered": 1, "arrivals waiting": 1, "deliveries waiting": 1}
    queue.mark_sent(queue.due_deliveries("one", limit=1))
    queue.delete_finished(hours=1e-9)
    assert queue.count_states() == {"arrivals waiting": 1}
    with database.reading() as connection:
        assert connection.execute(sa.select(deliveries)).all() == []
