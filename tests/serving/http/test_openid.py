"""Log in by OpenID Connect, with a real provider in the test: who may, as what, and what is refused."""

import json
import re
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from fastapi.testclient import TestClient
from oidc_provider_mock import User, run_server_in_thread

from covid_xray.connections import OpenId
from covid_xray.serving.http import openid
from covid_xray.serving.http.access import COOKIE
from support.servers import audit_lines, client, service_of

GROUPS = {"admin_groups": ["x-ray-admins"], "reader_groups": ["radiology"]}
PEOPLE = [
    User(sub="1", claims={"preferred_username": "ada", "groups": ["x-ray-admins", "radiology"]}),
    User(sub="2", claims={"preferred_username": "rhea", "groups": ["radiology"]}),
    User(sub="3", claims={"preferred_username": "otto", "groups": ["kitchen"]}),
    User(sub="4", claims={"preferred_username": "doe", "groups": ["radiology"]}),
    User(sub="5", claims={"preferred_username": "no name!", "groups": ["radiology"]}),
    User(sub="6", claims={"preferred_username": "one", "groups": "radiology"}),
]
PASSWORD = "ten letters or more"
pytestmark = pytest.mark.filterwarnings("ignore:get_jwt_config")  # of oidc-provider-mock


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    with run_server_in_thread(user_claims=PEOPLE, require_nonce=True) as server:
        yield f"http://localhost:{server.server_port}"


@pytest.fixture
def api(tmp_path: Path, issuer: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.setenv("AUTHLIB_INSECURE_TRANSPORT", "1")
    with client(
        tmp_path, openid={"issuer": issuer, "client_id": "x-ray", "client_secret": "s3cret", **GROUPS}
    ) as inside:
        yield inside


def authorize(api: TestClient, subject: str, *, next: str = "/worklist") -> tuple[str, dict[str, list[str]]]:
    """Begin a log-in and agree to it at the provider; returns the callback's path and what the provider was asked."""
    begun = api.get(f"/login/openid?next={next}", follow_redirects=False)
    assert begun.status_code == 303, begun.text
    answer = httpx.post(begun.headers["location"], data={"sub": subject, "action": "authorize"})
    target = urlsplit(answer.headers["location"])
    return f"{target.path}?{target.query}", parse_qs(urlsplit(begun.headers["location"]).query)


def finish(api: TestClient, path: str) -> httpx.Response:
    return api.get(path, headers={"Accept": "text/html"}, follow_redirects=False)


@pytest.mark.parametrize(
    ("subject", "name", "role"), [("1", "ada", "admin"), ("2", "rhea", "reader"), ("6", "one", "reader")]
)
def test_groups_give_the_role(api: TestClient, subject: str, name: str, role: str) -> None:
    path, asked = authorize(api, subject)
    assert (asked["response_type"], asked["code_challenge_method"]) == (["code"], ["S256"])
    assert asked["redirect_uri"] == ["http://127.0.0.1/login/openid/callback"]
    page = finish(api, path)
    assert page.status_code == 200  # no redirect: a Strict cookie would not come along
    assert re.search(r'http-equiv="refresh" content="0; url=/worklist"', page.text)
    me = api.get("/api/v1/me").json()
    assert (me["name"], me["role"], me["how"]) == (name, role, "session")
    assert ("log-in", name) in [(line.action, line.who) for line in audit_lines(api)]


def test_everybody_must_log_in_though_there_is_no_user_yet(api: TestClient) -> None:
    assert api.get("/api/v1/me").status_code == 401
    assert "Log in with your hospital account" in api.get("/login").text


def test_a_user_is_known_by_subject_and_the_role_follows_the_groups(api: TestClient, issuer: str) -> None:
    finish(api, authorize(api, "2")[0])
    changed = {"preferred_username": "rhea-new", "groups": ["x-ray-admins"]}
    httpx.put(f"{issuer}/users/2", json=changed).raise_for_status()
    finish(api, authorize(api, "2")[0])
    me = api.get("/api/v1/me").json()
    httpx.put(f"{issuer}/users/2", json=PEOPLE[1].claims).raise_for_status()
    assert (me["name"], me["role"]) == ("rhea", "admin")


@pytest.mark.parametrize(("subject", "code"), [("3", "openid-refused"), ("4", "name-taken"), ("5", "input-refused")])
def test_who_is_refused(api: TestClient, subject: str, code: str) -> None:
    """Nobody of another group, nobody with the name of a user of this server, nobody whose name is no user name."""
    service_of(api).accounts.add("doe", password=PASSWORD, role="admin")
    page = finish(api, authorize(api, subject)[0])
    assert page.status_code in (401, 422)
    assert 'role="alert"' in page.text
    assert api.get("/api/v1/me").status_code == 401
    assert [line.code for line in audit_lines(api)] == [code]


def test_an_answer_belongs_to_the_browser_that_asked_and_is_used_once(api: TestClient) -> None:
    path, _ = authorize(api, "2")
    cookie = api.cookies.get(openid.COOKIE)
    api.cookies.clear()
    assert finish(api, path).status_code == 401  # another browser: log-in CSRF
    api.cookies.set(openid.COOKIE, cookie, path=openid.PATH)
    assert finish(api, path.replace("state=", "state=x")).status_code == 401
    assert finish(api, path).status_code == 200
    assert finish(api, path).status_code == 401
    authorize(api, "2")
    assert finish(api, f"{openid.PATH}/callback?error=access_denied&state=").status_code == 401


def test_a_cookie_that_is_not_ours_is_refused(api: TestClient) -> None:
    path, _ = authorize(api, "2")
    value = api.cookies.get(openid.COOKIE)
    body, _, signature = value.partition(".")
    forged = urlsafe_b64encode(json.dumps({"state": "s"}).encode()).decode()
    for wrong in (f"{forged}.{signature}", f"{body}.{'0' * 64}", "", "x", "é.x"):
        api.cookies.clear()
        assert api.get(path, headers={"Cookie": f"{openid.COOKIE}={wrong}".encode("latin-1")}).status_code == 401


def test_a_token_of_another_client_or_nonce_is_refused(
    api: TestClient, issuer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = authorize(api, "2")
    provider = openid.Provider(OpenId(issuer=issuer, client_id="another"))
    monkeypatch.setattr(api.app.state.openid, "_verify", provider._verify)
    assert finish(api, path).status_code == 401
    monkeypatch.undo()
    monkeypatch.setenv("AUTHLIB_INSECURE_TRANSPORT", "1")
    path, _ = authorize(api, "2")
    verify = api.app.state.openid._verify
    monkeypatch.setattr(api.app.state.openid, "_verify", lambda token, keys, nonce: verify(token, keys, "another"))
    assert finish(api, path).status_code == 401


def test_the_page_to_go_to_is_one_of_ours(api: TestClient) -> None:
    page = finish(api, authorize(api, "2", next="https://evil.example/")[0])
    assert 'content="0; url=/"' in page.text


def test_a_provider_that_is_away_or_another_one(tmp_path: Path, issuer: str) -> None:
    with client(tmp_path, openid={"issuer": "http://localhost:9", "client_id": "x-ray"}) as api:
        assert api.get("/login/openid", follow_redirects=False).json()["code"] == "openid-unavailable"
        assert "Password" in api.get("/login").text
    with client(tmp_path, openid={"issuer": f"{issuer}/", "client_id": "x-ray"}) as api:
        assert api.get("/login/openid", follow_redirects=False).json()["code"] == "openid-issuer"
    with client(tmp_path) as api:
        assert api.get("/login/openid", follow_redirects=False).status_code == 404


def test_passwords_can_be_switched_off(tmp_path: Path, issuer: str) -> None:
    settings = {"issuer": issuer, "client_id": "x-ray", "passwords": False}
    with client(tmp_path, openid=settings) as api:
        service_of(api).accounts.add("doe", password=PASSWORD, role="admin")
        answer = api.post("/api/v1/login", json={"name": "doe", "password": PASSWORD})
        assert (answer.status_code, answer.json()["code"]) == (403, "no-password")
        assert 'name="password"' not in api.get("/login").text
        assert COOKIE not in answer.cookies
