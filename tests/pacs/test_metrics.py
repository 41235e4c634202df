"""What Prometheus reads: states, refusals, and whether the database answers."""

import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from covid_xray.errors import UsageError
from covid_xray.pacs.metrics import exposed
from covid_xray.pacs.refusals import RefusalLog
from covid_xray.pacs.settings import Pacs
from covid_xray.pacs.work_queue import Arrival, WorkQueue
from covid_xray.store.database import Database, sqlite_url
from covid_xray.store.records import new_id


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[WorkQueue]:
    opened = Database(sqlite_url(tmp_path / "a.sqlite"))
    yield WorkQueue(opened)
    opened.close()


def read(port: int | None) -> dict[tuple[str, ...], float]:
    """Name and values of labels of each sample."""
    text = httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text
    families = text_string_to_metric_families(text)
    return {(one.name, *sorted(one.labels.values())): one.value for family in families for one in family.samples}


def test_states_and_refusals_are_read_when_they_are_asked_for(queue: WorkQueue) -> None:
    log = RefusalLog(queue.database)
    with exposed(Pacs(metrics_port=0), queue) as port:
        assert read(port) == {("covid_xray_pacs_up",): 1}
        queue.add([Arrival(new_id(), "A", "1.2", "1.2.3", "a" * 64)])
        log.note("busy", "x", ae_title="MODALITY", address="10.0.0.7")
        log.flush(force=True)
        assert read(port) == {
            ("covid_xray_pacs_up",): 1,
            ("covid_xray_pacs_rows", "arrivals", "waiting"): 1,
            ("covid_xray_pacs_refusals_total", "10.0.0.7", "MODALITY", "busy"): 1,
        }


def test_a_database_that_does_not_answer_is_a_figure_too(queue: WorkQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    from covid_xray.errors import Busy

    def busy() -> None:
        raise Busy("not now")

    with exposed(Pacs(metrics_port=0), queue) as port:
        monkeypatch.setattr(queue.database, "reading", busy)
        assert read(port) == {("covid_xray_pacs_up",): 0}


def test_it_is_off_unless_asked_for_and_a_taken_port_is_said(queue: WorkQueue) -> None:
    with exposed(Pacs(), queue) as port:
        assert port is None
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        settings = Pacs(metrics_port=taken.getsockname()[1])
        with pytest.raises(UsageError, match="metrics_port"), exposed(settings, queue):
            pass
