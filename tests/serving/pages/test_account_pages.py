"""The page of one's own account, without a script."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from support.servers import client, service_of

PASSWORD, NEW = "ten letters or more", "some other words in a row"


@pytest.fixture
def api(tmp_path: Path) -> Iterator[TestClient]:
    with client(tmp_path) as inside:
        service_of(inside).accounts.add("doe", password=PASSWORD, role="reader")
        assert inside.post("/api/v1/login", json={"name": "doe", "password": PASSWORD}).status_code == 204
        yield inside


def send(api: TestClient, path: str, **fields: str) -> str:
    token = api.get("/api/v1/me").json()["csrf_token"]
    answer = api.post(f"/account{path}", data={"csrf_token": token, **fields}, headers={"Accept": "text/html"})
    assert answer.status_code in (200, 422), answer.text
    return answer.text


def test_the_password_is_changed_or_it_says_why_not(api: TestClient) -> None:
    assert "current password is wrong" in send(api, "/password", current="wrong", new=NEW)
    assert "too short" in send(api, "/password", current=PASSWORD, new="short")
    assert "is changed" in send(api, "/password", current=PASSWORD, new=NEW)
    service_of(api).accounts.check_password("doe", NEW)


def test_a_token_is_shown_once_and_revoked(api: TestClient) -> None:
    made = send(api, "/tokens", name="nightly", scope="read", days="7")
    secret = re.search(r'shown this once: <code class="hash">([^<]+)', made)[1]
    page = api.get("/account").text
    assert ("nightly" in page, secret in page) == (True, False)
    identity = service_of(api).accounts.tokens("doe")[0].id
    assert "No tokens." in send(api, "/tokens/revoke", id=identity)


def test_log_out_everywhere(api: TestClient) -> None:
    assert "Log in" in send(api, "/log-out")
    assert api.get("/api/v1/me").status_code == 401


def test_without_a_session_there_is_no_account(tmp_path: Path) -> None:
    with client(tmp_path) as api:
        assert api.get("/account").json()["code"] == "no-session"
