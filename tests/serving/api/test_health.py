"""It lives while it lives; it is ready when database, store and server can do their part."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from covid_xray.errors import Busy
from support.servers import client, service_of


@pytest.fixture
def api(tmp_path: Path) -> Iterator[TestClient]:
    with client(tmp_path) as inside:
        yield inside


def test_well(api: TestClient) -> None:
    assert api.get("/healthz").json()["status"] == "ok"
    ready = api.get("/readyz")
    assert (ready.status_code, ready.json()["status"]) == (200, "ok")
    assert set(ready.json()["checks"].values()) == {"ok"}


def test_a_database_that_is_silent(api: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def silent() -> None:
        raise Busy("The database does not answer.", code="store-unavailable")

    monkeypatch.setattr(service_of(api).store.database, "reading", silent)
    ready = api.get("/readyz")
    assert (ready.status_code, ready.json()["checks"]["database"]) == (503, "store-unavailable")
    assert api.get("/healthz").status_code == 200


def test_a_full_store(api: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_of(api).store.images, "quota", 0)
    ready = api.get("/readyz")
    assert (ready.status_code, ready.json()["checks"]["store"]) == (503, "store-full")


def test_a_server_that_stops(api: TestClient) -> None:
    service_of(api).admission.closed = True
    assert api.get("/readyz").json()["checks"]["server"] == "stopping"
    service_of(api).admission.closed = False
