"""Who may do what: local only until there are users, then sessions and tokens; other sites are refused."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from covid_xray.errors import Busy, CovidXrayError
from covid_xray.store import tables
from covid_xray.store.records import now
from support.servers import HOST, audit_lines, client, file, service_of, upload

PASSWORD = "ten letters or more"
FOREIGN = {"Origin": "http://evil.example"}


@pytest.fixture
def api(tmp_path: Path) -> Iterator[TestClient]:
    with client(tmp_path) as inside:
        yield inside


@pytest.fixture
def locked(api: TestClient) -> TestClient:
    """With a reader and an admin."""
    for name, role in (("reader", "reader"), ("admin", "admin")):
        service_of(api).accounts.add(name, password=PASSWORD, role=role)
    return api


def log_in(api: TestClient, name: str, password: str = PASSWORD) -> dict[str, str]:
    """A session; returns the header for changing requests."""
    assert api.post("/api/v1/login", json={"name": name, "password": password}).status_code == 204
    return {"X-CSRF-Token": api.get("/api/v1/me").json()["csrf_token"]}


def test_whoever_sits_here_is_local(api: TestClient) -> None:
    me = api.get("/api/v1/me").json()
    assert (me["name"], me["role"], me["how"]) == ("local", "admin", "local")


def test_the_first_user_locks_the_door(locked: TestClient) -> None:
    for method, path in (
        ("GET", "/api/v1/studies"),
        ("POST", "/api/v1/predict"),
        ("GET", "/api/v1/model"),
        ("GET", "/metrics"),
        ("POST", "/api/v1/batch"),
        ("GET", "/api/v1/audit"),
        ("DELETE", f"/api/v1/studies/{'0' * 32}"),
    ):
        answer = locked.request(method, path)
        assert (answer.status_code, answer.json()["code"]) == (401, "not-logged-in"), path
        assert answer.headers["www-authenticate"].startswith("Bearer")
    assert locked.get("/healthz").status_code == 200
    assert locked.get("/readyz").status_code == 200


def test_every_route_of_the_api_asks_who(locked: TestClient) -> None:
    """None is forgotten: whatever is not open on purpose answers 401."""
    open_to_all = {"/healthz", "/readyz", "/api/v1/login"}
    for path, methods in locked.get("/api/v1/openapi.json").json()["paths"].items():
        for method in methods:
            if path not in open_to_all:
                answer = locked.request(method.upper(), path.replace("{id}", "0" * (12 if "tokens" in path else 32)))
                assert answer.status_code == 401, (method, path)


def test_roles(locked: TestClient) -> None:
    token = log_in(locked, "reader")
    study = upload(locked, headers=token)
    assert study["uploader"] == "reader"
    for method, path in (("DELETE", f"/api/v1/studies/{study['id']}"), ("GET", "/api/v1/audit")):
        refused = locked.request(method, path, headers=token)
        assert (refused.status_code, refused.json()["code"]) == (403, "not-allowed")
    locked.cookies.clear()
    token = log_in(locked, "admin")
    assert locked.get("/api/v1/audit").status_code == 200
    assert locked.delete(f"/api/v1/studies/{study['id']}", headers=token).status_code == 204


def test_bearer_tokens_have_the_rights_of_their_user(locked: TestClient) -> None:
    reader = {"Authorization": f"Bearer {service_of(locked).accounts.new_token('reader')}"}
    study = upload(locked, headers=reader)
    assert study["uploader"] == "reader"
    assert locked.delete(f"/api/v1/studies/{study['id']}", headers=reader).status_code == 403
    wrong = locked.get("/api/v1/me", headers={"Authorization": "Bearer nonsense"})
    assert (wrong.status_code, wrong.json()["code"]) == (401, "bad-token")
    for header in ("Basic YTpi", "Bearer", "Bearer "):
        assert locked.get("/api/v1/me", headers={"Authorization": header}).status_code == 401


@pytest.mark.parametrize(
    ("scope", "allowed"),
    [
        ("metrics", {"/metrics"}),
        ("read", {"/metrics", "/api/v1/studies"}),
        ("write", {"/metrics", "/api/v1/studies", "/api/v1/predict"}),
        ("all", {"/metrics", "/api/v1/studies", "/api/v1/predict", "/api/v1/audit"}),
    ],
)
def test_a_token_may_do_what_its_scope_says(locked: TestClient, scope: str, allowed: set[str]) -> None:
    bearer = {"Authorization": f"Bearer {service_of(locked).accounts.new_token('admin', scope=scope)}"}
    for method, path in (
        ("GET", "/metrics"),
        ("GET", "/api/v1/studies"),
        ("POST", "/api/v1/predict"),
        ("GET", "/api/v1/audit"),
    ):
        answer = locked.request(method, path, headers=bearer, files=file() if method == "POST" else None)
        assert answer.status_code == (200 if path in allowed else 403), path
        if path not in allowed:
            assert answer.json()["code"] == (
                "not-allowed" if scope in ("read", "write") and method == "GET" else "out-of-scope"
            )


def test_wrong_tokens_are_throttled_and_right_ones_are_not(tmp_path: Path) -> None:
    with client(tmp_path, logins_per_minute=3) as api:
        service_of(api).accounts.add("doe", password=PASSWORD, role="reader")
        right = {"Authorization": f"Bearer {service_of(api).accounts.new_token('doe')}"}
        wrong = [api.get("/api/v1/me", headers={"Authorization": f"Bearer {guess}"}) for guess in range(5)]
        assert [answer.status_code for answer in wrong] == [401] * 3 + [429] * 2
        assert int(wrong[-1].headers["retry-after"]) >= 1
        assert api.get("/api/v1/me", headers=right).status_code == 200
        assert [(line.who, line.code) for line in audit_lines(api) if line.action == "bad-token"] == [
            ("unknown", "bad-token")
        ]


def test_an_idle_session_ends_though_a_page_is_open(locked: TestClient) -> None:
    log_in(locked, "reader")

    def rest(minutes: float) -> None:
        with service_of(locked).store.database.writing() as connection:
            connection.execute(sa.update(tables.sessions).values(seen=now() - timedelta(minutes=minutes)))

    rest(29)
    assert locked.get("/api/v1/studies", headers={"X-Background": "true"}).status_code == 200
    rest(31)  # as if two more minutes had passed: the page's own requests were no use
    assert locked.get("/api/v1/studies").status_code == 401


def test_refused_attempts_are_recorded(locked: TestClient) -> None:
    token = log_in(locked, "reader")
    study = upload(locked, headers=token)["id"]
    for _ in range(3):
        locked.delete(f"/api/v1/studies/{study}", headers=token)
    locked.post("/api/v1/predict", files=file(), headers=FOREIGN)
    assert [
        (line.who, line.what, line.code, line.address) for line in audit_lines(locked) if line.action == "refused"
    ] == [
        ("reader", "/api/v1/studies/{id}", "not-allowed", "testclient"),
        ("reader", "/api/v1/predict", "cross-site", "testclient"),
    ]


def test_the_address_is_that_of_the_client_behind_a_trusted_proxy_only(tmp_path: Path) -> None:
    settings = {"public_url": "https://xray.ward.example", "trusted_proxies": ["10.1.0.0/16"], "logins_per_minute": 2}
    with client(tmp_path, peer="10.1.2.3", **settings) as api:
        service_of(api).accounts.add("doe", password=PASSWORD, role="reader")
        for forwarded in ("198.51.100.1", "203.0.113.66, 198.51.100.1", "203.0.113.67, 198.51.100.1"):
            api.post("/api/v1/login", json={"name": forwarded, "password": "x"}, headers={"X-Forwarded-For": forwarded})
        lines = audit_lines(api)
        assert {line.address for line in lines} == {"198.51.100.1"}  # what the client itself says is not believed
        assert [line.code for line in lines] == ["bad-login", "bad-login", "too-often"]
        other = {"X-Forwarded-For": "198.51.100.2"}
        assert api.post("/api/v1/login", json={"name": "doe", "password": PASSWORD}, headers=other).status_code == 204
    with client(tmp_path, peer="192.0.2.99", **settings) as api:
        api.post("/api/v1/login", json={"name": "x", "password": "x"}, headers={"X-Forwarded-For": "198.51.100.7"})
        assert audit_lines(api)[-1].address == "192.0.2.99"


def test_trusted_proxies_alone_mean_that_others_reach_it(tmp_path: Path) -> None:
    with client(tmp_path, trusted_proxies=["10.1.0.0/16"]) as api:
        assert api.get("/api/v1/me").status_code == 401


def test_the_token_of_the_server(tmp_path: Path) -> None:
    with client(tmp_path, token="a long secret of the server") as api:
        assert api.get("/api/v1/studies").status_code == 401
        me = api.get("/api/v1/me", headers={"Authorization": "Bearer a long secret of the server"}).json()
        assert (me["name"], me["role"], me["how"]) == ("token", "admin", "token")


def test_a_browser_needs_origin_and_token(locked: TestClient) -> None:
    token = log_in(locked, "admin")
    own = {"Origin": HOST}
    for headers in ({}, own, {"X-CSRF-Token": "0" * 64}, {**FOREIGN, **token}, {"Origin": "null", **token}):
        refused = locked.post("/api/v1/predict", files=file(), headers=headers)
        assert (refused.status_code, refused.json()["code"]) == (403, "cross-site"), headers
    for headers in (token, {**own, **token}):
        assert locked.post("/api/v1/predict", files=file(), headers=headers).status_code == 200


def test_another_sites_page_cannot_use_a_local_server(api: TestClient) -> None:
    """A form of another site sends no cookie of ours (SameSite) and no token, but the server has no login."""
    for headers in (FOREIGN, {"Sec-Fetch-Site": "cross-site"}, {**FOREIGN, "Sec-Fetch-Site": "cross-site"}):
        assert api.post("/api/v1/predict", files=file(), headers=headers).status_code == 403
    assert api.post("/api/v1/predict", files=file()).status_code == 200  # no browser: curl
    assert api.get("/api/v1/me").status_code == 200
    login = api.post("/api/v1/login", json={"name": "a", "password": "b"}, headers=FOREIGN)
    assert login.status_code == 403


def test_a_token_belongs_to_its_session(locked: TestClient) -> None:
    first = log_in(locked, "admin")
    locked.cookies.clear()
    log_in(locked, "admin")
    assert locked.post("/api/v1/predict", files=file(), headers=first).status_code == 403


def test_forms_bring_the_token_as_a_field(locked: TestClient) -> None:
    token = log_in(locked, "admin")["X-CSRF-Token"]
    fine = locked.post("/api/v1/logout", data={"csrf_token": token})
    assert fine.status_code == 204
    log_in(locked, "admin")
    assert locked.post("/api/v1/logout", data={"csrf_token": token}).status_code == 403


def test_the_rate_is_limited(tmp_path: Path) -> None:
    with client(tmp_path, requests_per_minute=5) as api:
        answers = [api.get("/api/v1/model") for _ in range(7)]
        assert [answer.status_code for answer in answers] == [200] * 5 + [429] * 2
        assert answers[-1].json()["code"] == "too-often"
        assert 1 <= int(answers[-1].headers["retry-after"]) <= 60
        assert api.get("/healthz").status_code == 200


def test_a_server_that_others_reach_is_locked_whatever_its_users(tmp_path: Path) -> None:
    with client(tmp_path, host="0.0.0.0") as api:
        assert api.get("/api/v1/studies").status_code == 401


def test_behind_a_public_url_nobody_is_local(tmp_path: Path) -> None:
    with client(tmp_path, public_url="https://xray.ward.example") as api:
        for headers in ({}, {"Host": "xray.ward.example", "X-Forwarded-For": "203.0.113.9"}):
            answer = api.get("/api/v1/me", headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (401, "not-logged-in")


@pytest.mark.parametrize(
    "name", ["Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP", "Via"]
)
def test_who_comes_through_a_proxy_must_log_in(api: TestClient, name: str) -> None:
    for method, path in (("GET", "/api/v1/me"), ("DELETE", f"/api/v1/studies/{'0' * 32}"), ("GET", "/metrics")):
        assert api.request(method, path, headers={name: "203.0.113.9"}).status_code == 401
    assert api.get("/api/v1/me").json()["role"] == "admin"


def test_a_server_stays_locked_when_its_last_user_is_removed(api: TestClient) -> None:
    accounts = service_of(api).accounts
    accounts.add("doe", password=PASSWORD, role="reader")
    accounts.remove("doe")
    assert api.get("/api/v1/me").status_code == 401


@pytest.mark.parametrize("error", [Busy("locked", code="store-unavailable"), CovidXrayError("broken")])
@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer nonsense"}, {"Cookie": "covid-xray-session=x"}])
def test_a_database_that_cannot_be_read_lets_nobody_in(
    api: TestClient, monkeypatch: pytest.MonkeyPatch, error: CovidXrayError, headers: dict[str, str]
) -> None:
    def broken() -> None:
        raise error

    monkeypatch.setattr(service_of(api).store.database, "reading", broken)
    answer = api.get("/api/v1/me", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (503, "store-unavailable")
    assert api.get("/healthz").status_code == 200
