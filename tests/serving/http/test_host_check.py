"""Only own Host names are answered while there is no login; with users any name is."""

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from support.servers import client, service_of


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with client(tmp_path_factory.mktemp("hosts")) as inside:
        yield inside


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:8000", "localhost:9", "[::1]:8000", "127.1.2.3"])
def test_own_names_are_answered(api: TestClient, host: str) -> None:
    assert api.get("/api/v1/studies", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "", "[", "a@b:c"])
def test_other_names_are_refused(api: TestClient, host: str) -> None:
    answer = api.get("/api/v1/studies", headers={"Host": host})
    assert (answer.status_code, answer.json()["code"]) == (421, "wrong-host")


def test_with_users_any_name_is_answered(api: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_of(api).accounts, "has_users", lambda: True)
    assert api.get("/healthz", headers={"Host": "xray.ward.example"}).status_code == 200
    assert api.get("/api/v1/studies", headers={"Host": "xray.ward.example"}).status_code == 401
