"""Events reach the configured addresses, signed, after failures and restarts too, and no others."""

import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import standardwebhooks

from covid_xray.config import Serving, load
from covid_xray.errors import Busy
from covid_xray.serving import webhooks
from covid_xray.store import tables
from support.bundles import grey
from support.drawing import png
from support.servers import client, file, service_of, upload, wait_for_job

SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD7dFeVQIuHP8="


class Receiver:
    """A server on a loopback port that keeps what it gets and answers with the statuses it is told."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.statuses: list[int] = []
        self.news = threading.Condition()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                with receiver.news:
                    status = receiver.statuses.pop(0) if receiver.statuses else 204
                    receiver.got.append((dict(self.headers.items()), body))
                    receiver.news.notify_all()
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"

    def wait_for(self, count: int) -> list[dict[str, Any]]:
        with self.news:
            assert self.news.wait_for(lambda: len(self.got) >= count, timeout=60), self.got
            return [json.loads(body) for _, body in self.got]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    thread = threading.Thread(target=made.server.serve_forever, args=(0.05,))
    thread.start()
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "_FIRST_SECONDS", 0.01)
    monkeypatch.setattr(webhooks, "_POLL_SECONDS", 0.01)


def test_each_event_arrives_with_a_signature_that_others_can_check(tmp_path: Path, receiver: Receiver) -> None:
    with client(tmp_path, webhooks=[{"url": receiver.url, "secret": SECRET}]) as api:
        study = upload(api, name="CANARY.png")["id"]
        api.post(f"/api/v1/studies/{study}/feedback", json={"verdict": "agree"})
        api.delete(f"/api/v1/studies/{study}")
        job = api.post("/api/v1/batch", files=file(png(grey("normal"))))
        wait_for_job(api, job.headers["location"])
        found = receiver.wait_for(5)
    by_type = {event["type"]: event["data"] for event in found}
    assert by_type["feedback.created"] == {"study_id": study, "verdict": "agree", "label": None}
    assert by_type["study.deleted"] == {"id": study}
    assert by_type["job.finished"] == {"id": job.json()["id"], "total": 1}
    assert {"id": study, "label": "covid"} in [event["data"] for event in found if event["type"] == "study.created"]
    assert "CANARY" not in str(found)
    for headers, body in receiver.got:
        standardwebhooks.Webhook(SECRET).verify(body, headers)
        with pytest.raises(standardwebhooks.WebhookVerificationError):
            standardwebhooks.Webhook(SECRET).verify(body + b" ", headers)


def test_it_is_tried_again_also_after_a_restart_and_follows_no_redirect(tmp_path: Path, receiver: Receiver) -> None:
    settings = {"webhooks": [{"url": receiver.url, "secret": SECRET, "events": ["study.created"]}]}
    receiver.statuses = [500, 302, 404]
    with client(tmp_path, **settings) as api:
        upload(api)
        receiver.wait_for(3)
    with client(tmp_path, **settings) as api:
        receiver.wait_for(4)
        ids = {headers["webhook-id"] for headers, _ in receiver.got}
    assert len(ids) == 1  # by which the receiver knows a repetition


def test_targets_get_their_events_only_and_those_removed_get_none(tmp_path: Path, receiver: Receiver) -> None:
    away = {"url": "http://127.0.0.1:9/", "secret": SECRET, "events": ["study.created"]}
    with client(tmp_path, webhooks=[away, {"url": receiver.url, "secret": SECRET, "events": ["study.deleted"]}]) as api:
        study = upload(api)["id"]
        api.delete(f"/api/v1/studies/{study}")
        assert [event["type"] for event in receiver.wait_for(1)] == ["study.deleted"]
        assert "covid_xray_webhooks_waiting 1.0" in api.get("/metrics").text
    with client(tmp_path, webhooks=[{"url": receiver.url, "secret": SECRET}]) as api:
        study = upload(api)["id"]
        receiver.wait_for(2)
        with contextlib.suppress(TimeoutError):
            for _ in range(1000):
                if service_of(api).webhooks.waiting() == 0:
                    break
                threading.Event().wait(0.02)
        assert service_of(api).webhooks.waiting() == 0


def test_given_up_after_many_tries(tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "_TRIES", 2)
    receiver.statuses = [500] * 5
    with client(tmp_path, webhooks=[{"url": receiver.url, "secret": SECRET, "events": ["study.created"]}]) as api:
        upload(api)
        receiver.wait_for(2)
        for _ in range(1000):
            if service_of(api).webhooks.waiting() == 0:
                break
            threading.Event().wait(0.02)
        assert (service_of(api).webhooks.waiting(), len(receiver.got)) == (0, 2)


def test_an_upload_succeeds_when_its_event_cannot_be_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with client(tmp_path, webhooks=[{"url": "http://127.0.0.1:9/", "secret": SECRET}]) as api:
        hooks = service_of(api).webhooks

        class Broken:
            @contextlib.contextmanager
            def writing(self) -> Iterator[None]:
                raise Busy("locked")
                yield

        monkeypatch.setattr(hooks, "_database", Broken())
        upload(api)
    with client(tmp_path) as api, service_of(api).store.database.reading() as connection:
        assert connection.execute(sa.select(tables.webhooks)).all() == []


def test_settings_as_in_a_file(tmp_path: Path) -> None:
    text = f"webhooks:\n  - url: https://ris.ward.example/hook\n    secret: {SECRET}\n    events: [job.finished]\n"
    (tmp_path / "serve.yaml").write_text(text)
    found = load(Serving, file=tmp_path / "serve.yaml").webhooks[0]
    assert found.events == ("job.finished",)
    assert SECRET not in repr(found)
