"""The page of the users: what an admin does for others, without a script."""

import re
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from covid_xray.errors import TooOften
from covid_xray.store.lockouts import by_name
from support.servers import audit_lines, client, service_of

PASSWORD, NEW = "ten letters or more", "some other words in a row"


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with client(tmp_path_factory.mktemp("users"), lockout_failures=1) as inside:
        for name, role in (("ada", "admin"), ("doe", "reader")):
            service_of(inside).accounts.add(name, password=PASSWORD, role=role)
        assert inside.post("/api/v1/login", json={"name": "ada", "password": PASSWORD}).status_code == 204
        yield inside


def send(api: TestClient, path: str, **fields: str) -> str:
    headers = {"Accept": "text/html", "Accept-Language": fields.pop("language", "en")}
    token = api.get("/api/v1/me").json()["csrf_token"]
    return api.post(f"/users{path}", data={"csrf_token": token, **fields}, headers=headers).text


def test_the_password_of_a_user_who_forgot_it_is_set(api: TestClient) -> None:
    service = service_of(api)
    cookie = service.accounts.start_session("doe", hours=1)
    service.lockouts.fail([by_name("doe")])
    assert "Tell it to the user in person" in send(api, "/password", name="doe", password=NEW)
    service.accounts.check_password("doe", NEW)
    service.lockouts.check(by_name("doe"))
    assert service.accounts.user_of_session(cookie) is None
    assert [(line.who, line.what) for line in audit_lines(api) if line.action == "set-password"] == [("ada", "doe")]


def test_a_locked_user_is_named_and_let_in_again(api: TestClient) -> None:
    lockouts = service_of(api).lockouts
    assert "locked until" not in api.get("/users").text
    lockouts.fail([by_name("doe")])
    with pytest.raises(TooOften):
        lockouts.check(by_name("doe"))
    assert api.get("/users").text.count("locked until") == 1
    page = send(api, "/unlock", name="doe")
    assert "The user may try again." in page
    assert "locked until" not in page
    lockouts.check(by_name("doe"))
    assert [(line.who, line.what) for line in audit_lines(api) if line.action == "unlock-user"] == [("ada", "doe")]


def test_what_is_refused_is_said_in_the_language_of_the_reader(api: TestClient) -> None:
    assert "Change your own password on the page of your account." in send(api, "/password", name="ada", password=NEW)
    assert "Passwort zu kurz. Nehmen Sie mindestens 12 Zeichen" in send(
        api, "/password", name="doe", password="short", language="de"
    )
    assert "المستخدم &#39;doe&#39; موجود من قبل" in send(
        api, "", name="doe", password=NEW, role="reader", language="ar"
    )
    assert "Diesen Benutzer gibt es nicht. <code>covid-xray user list</code>" in send(
        api, "/unlock", name="nobody", language="de"
    )


def test_a_reader_sets_no_password(api: TestClient) -> None:
    service, admin = service_of(api), api.cookies["covid-xray-session"]
    api.cookies.set("covid-xray-session", service.accounts.start_session("doe", hours=1), domain="127.0.0.1")
    refused = send(api, "/password", name="ada", password=NEW)
    api.cookies.set("covid-xray-session", admin, domain="127.0.0.1")
    assert "Only an admin may do this." in refused
    service.accounts.check_password("ada", PASSWORD)


def test_who_is_locked_out_is_told_so_on_the_page_of_the_log_in(api: TestClient) -> None:
    service_of(api).lockouts.fail([by_name("doe")])
    token = re.search('name="csrf-token" content="([^"]+)"', api.get("/login").text)
    fields = {"csrf_token": token[1] if token else "", "name": "doe", "password": NEW}
    answer = api.post("/login", data=fields, headers={"Accept": "text/html", "Accept-Language": "fr"})
    service_of(api).lockouts.clear(by_name("doe"))
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) > 60
    assert "Trop de connexions échouées." in answer.text
    assert 'name="password"' in answer.text
