"""Tokens are made by a session only, shown once, and end when they are revoked."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from support.servers import audit_lines, client, service_of

PASSWORD = "ten letters or more"


@pytest.fixture
def api(tmp_path: Path) -> Iterator[TestClient]:
    with client(tmp_path) as inside:
        for name, role in (("doe", "reader"), ("ada", "admin")):
            service_of(inside).accounts.add(name, password=PASSWORD, role=role)
        yield inside


def log_in(api: TestClient, name: str) -> dict[str, str]:
    api.cookies.clear()
    assert api.post("/api/v1/login", json={"name": name, "password": PASSWORD}).status_code == 204
    return {"X-CSRF-Token": api.get("/api/v1/me").json()["csrf_token"]}


def test_make_use_list_and_revoke(api: TestClient) -> None:
    csrf = log_in(api, "doe")
    made = api.post("/api/v1/tokens", json={"name": "nightly", "days": 7}, headers=csrf).json()
    listed = api.get("/api/v1/tokens").json()
    assert [(it["id"], it["name"], it["scope"], it["used"]) for it in listed] == [(made["id"], "nightly", "read", None)]
    assert "secret" not in listed[0]
    api.cookies.clear()
    bearer = {"Authorization": f"Bearer {made['secret']}"}
    assert api.get("/api/v1/me", headers=bearer).json()["scope"] == "read"
    for headers in (bearer, {"Authorization": f"Bearer {service_of(api).accounts.new_token('doe')}"}):
        assert api.post("/api/v1/tokens", json={}, headers=headers).status_code == 403  # none makes another one
    csrf = log_in(api, "doe")
    assert api.delete(f"/api/v1/tokens/{made['id']}", headers=csrf).status_code == 204
    assert api.delete(f"/api/v1/tokens/{made['id']}", headers=csrf).status_code == 404
    api.cookies.clear()
    assert api.get("/api/v1/me", headers=bearer).status_code == 401
    done = [(line.action, line.what) for line in audit_lines(api) if "-token" in line.action]
    assert done == [("add-token", made["id"]), ("revoke-token", made["id"]), ("bad-token", None)]


def test_those_of_others_are_for_admins(api: TestClient) -> None:
    service_of(api).accounts.new_token("ada")
    other = service_of(api).accounts.tokens()[0].id
    csrf = log_in(api, "doe")
    assert api.get("/api/v1/tokens").json() == []
    assert api.get("/api/v1/tokens?everyone=true").status_code == 403
    assert api.delete(f"/api/v1/tokens/{other}", headers=csrf).status_code == 404
    csrf = log_in(api, "ada")
    assert len(api.get("/api/v1/tokens?everyone=true").json()) == 1
    assert api.delete(f"/api/v1/tokens/{other}", headers=csrf).status_code == 204


def test_without_users_there_is_nobody_to_have_one(tmp_path: Path) -> None:
    with client(tmp_path) as api:
        answer = api.post("/api/v1/tokens", json={})
        assert (answer.status_code, answer.json()["code"]) == (403, "no-session")
