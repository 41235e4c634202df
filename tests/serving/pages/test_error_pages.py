"""Who opens an address in a browser gets errors as pages, programs get them as problem+json."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from covid_xray.serving.pages.error_pages import MESSAGES, error_page
from support.servers import client

BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@pytest.fixture(scope="module")
def inside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with client(tmp_path_factory.mktemp("errors")) as opened:
        yield opened


def test_a_browser_reads_words_with_the_status_and_headers_of_the_problem(inside: TestClient) -> None:
    answer = inside.get(f"/studies/{'0' * 32}", headers=BROWSER)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert int(answer.headers["content-length"]) == len(answer.content)
    assert "There is nothing here." in answer.text
    assert "Research use, not for diagnosis." in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]


@pytest.mark.parametrize("headers", [{}, {"Accept": "application/json"}, {**BROWSER, "HX-Request": "true"}])
def test_programs_and_scripts_get_the_problem(inside: TestClient, headers: dict[str, str]) -> None:
    answer = inside.get("/no-such-page", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (404, "not-found")


def test_the_api_is_for_programs_even_in_a_browser(inside: TestClient) -> None:
    answer = inside.get(f"/api/v1/studies/{'0' * 32}", headers=BROWSER)
    assert answer.headers["content-type"] == "application/problem+json"


def test_too_often_says_when_to_come_back(tmp_path: Path) -> None:
    with client(tmp_path, requests_per_minute=2) as inside:
        answers = [inside.get("/model", headers=BROWSER) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 429, 429]
    assert "Too many requests." in answers[-1].text
    assert int(answers[-1].headers["retry-after"]) >= 1


def test_too_large_is_a_page_too(inside: TestClient) -> None:
    answer = inside.post("/login", data={"name": "x" * (2 << 20)}, headers=BROWSER)
    assert answer.status_code == 413
    assert "The upload is too large." in answer.text


@pytest.mark.parametrize("status", [404, 413, 429, 503, 500])
def test_every_page_says_what_to_do(status: int) -> None:
    page = error_page(status, b'{"code": "queue-full", "detail": "No such file: <b> &"}')
    assert (MESSAGES[status][1] if status in MESSAGES else "Try again.") in page
    assert "No such file: &lt;b&gt; &amp;" in page


def test_a_body_that_is_no_json_is_no_reason_to_fail() -> None:
    assert "busy" in error_page(503, b"nonsense")
