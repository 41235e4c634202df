"""Logging in and out: the cookie is for this server only, guesses are counted, nothing tells who exists."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from covid_xray.serving.http.access import COOKIE
from support.servers import audit_lines, client, service_of

PASSWORD = "ten letters or more"


@pytest.fixture
def api(tmp_path: Path) -> Iterator[TestClient]:
    with client(tmp_path, logins_per_minute=3) as inside:
        service_of(inside).accounts.add("doe", password=PASSWORD, role="reader")
        yield inside


def log_in(api: TestClient, name: str = "doe", password: str = PASSWORD):
    return api.post("/api/v1/login", json={"name": name, "password": password})


def test_in_and_out(api: TestClient) -> None:
    answer = log_in(api)
    assert answer.status_code == 204
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith(f"{COOKIE}=")
    assert "HttpOnly" in cookie
    assert "samesite=strict" in cookie.lower()
    assert "Path=/" in cookie
    assert "Secure" not in cookie  # plain HTTP on a loopback address
    me = api.get("/api/v1/me").json()
    assert (me["name"], me["how"]) == ("doe", "session")
    old = api.cookies[COOKIE]
    assert api.post("/api/v1/logout", headers={"X-CSRF-Token": me["csrf_token"]}).status_code == 204
    assert api.get("/api/v1/me").status_code == 401
    assert api.get("/api/v1/me", headers={"Cookie": f"{COOKIE}={old}"}).status_code == 401


def test_behind_https_the_cookie_is_secure(tmp_path: Path) -> None:
    with client(tmp_path, public_url="https://xray.ward.example") as api:
        service_of(api).accounts.add("doe", password=PASSWORD, role="reader")
        assert "Secure" in log_in(api).headers["set-cookie"]


def test_a_new_session_has_a_new_cookie_and_ends_the_old_one(api: TestClient) -> None:
    log_in(api)
    first, token = api.cookies[COOKIE], api.get("/api/v1/me").json()["csrf_token"]
    again = api.post("/api/v1/login", json={"name": "doe", "password": PASSWORD}, headers={"X-CSRF-Token": token})
    assert again.status_code == 204
    assert api.cookies[COOKIE] != first
    assert service_of(api).accounts.user_of_session(first) is None


def test_wrong_pairs_are_alike_and_soon_too_many(api: TestClient) -> None:
    answers = [log_in(api, name, "wrong password") for name in ("doe", "nobody", "a\0b")]
    assert [answer.status_code for answer in answers] == [401] * 3
    assert len({answer.text for answer in answers}) == 1
    assert answers[0].json()["code"] == "bad-login"
    late = log_in(api)
    assert (late.status_code, late.json()["code"]) == (429, "too-often")


def test_a_log_in_is_in_the_audit_log(api: TestClient) -> None:
    log_in(api)
    assert [(line.who, line.action) for line in audit_lines(api)] == [("doe", "log-in")]


def test_one_changes_ones_own_password(api: TestClient) -> None:
    log_in(api)
    token = {"X-CSRF-Token": api.get("/api/v1/me").json()["csrf_token"]}
    new = "some other words in a row"

    def change(current: str, password: str, **more: object) -> tuple[int, str]:
        body = {"current": current, "new": password}
        answer = api.put("/api/v1/password", json=body, **{"headers": token, **more})
        return answer.status_code, answer.json()["code"] if answer.content else ""

    assert change("wrong", new) == (422, "wrong-password")
    assert change(PASSWORD, "short") == (422, "weak-password")
    assert change(PASSWORD, new) == (204, "")
    assert api.get("/api/v1/me").status_code == 200
    api.cookies.clear()
    assert log_in(api).status_code == 401
    assert log_in(api, password=new).status_code == 204
    api.cookies.clear()
    bearer = {"Authorization": f"Bearer {service_of(api).accounts.new_token('doe')}"}
    assert change(new, PASSWORD, headers=bearer) == (403, "no-session")
    assert "change-password" in [line.action for line in audit_lines(api)]


def test_log_out_everywhere(api: TestClient) -> None:
    log_in(api)
    there = api.cookies[COOKIE]
    api.cookies.clear()
    log_in(api)
    token = {"X-CSRF-Token": api.get("/api/v1/me").json()["csrf_token"]}
    assert api.post("/api/v1/logout?everywhere=true", headers=token).status_code == 204
    assert api.get("/api/v1/me", headers={"Cookie": f"{COOKIE}={there}"}).status_code == 401
    assert [line.action for line in audit_lines(api)][-1] == "log-out"


@pytest.mark.parametrize("body", [{}, {"name": "doe"}, {"name": "", "password": "x"}, [], {"name": 1, "password": 2}])
def test_bodies_that_are_none(api: TestClient, body: object) -> None:
    assert api.post("/api/v1/login", json=body).json()["code"] == "invalid-request"
