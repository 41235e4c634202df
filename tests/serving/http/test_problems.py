"""Every error is problem+json with a stable code; what nobody foresaw tells the log its type and the client nothing."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from covid_xray import errors
from covid_xray.serving.http.problems import MEDIA_TYPE, error_problem
from support.servers import client, service_of


@pytest.fixture
def api(tmp_path: Path) -> Iterator[TestClient]:
    with client(tmp_path) as inside:
        yield inside


def subclasses(kind: type) -> list[type]:
    return [kind, *(deep for direct in kind.__subclasses__() for deep in subclasses(direct))]


@pytest.mark.parametrize("kind", [k for k in subclasses(errors.CovidXrayError) if k.__module__ == errors.__name__])
def test_every_error_of_the_house_is_a_problem(kind: type[errors.CovidXrayError]) -> None:
    response = error_problem(kind("No such file: a."))
    assert response.status_code == kind.http_status
    assert response.media_type == MEDIA_TYPE
    body = response.body.decode()
    assert f'"code":"{kind.default_code}"' in body
    assert '"detail":"No such file: a."' in body


def test_who_may_come_back_is_told_when() -> None:
    assert error_problem(errors.Busy("m", retry_after=7)).headers["retry-after"] == "7"
    assert error_problem(errors.TooOften("m")).headers["retry-after"] == "1"
    assert "retry-after" not in error_problem(errors.Busy("m")).headers


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [("GET", "/nix", 404, "not-found"), ("PUT", "/api/v1/studies", 405, "method-not-allowed")],
)
def test_the_frameworks_own_refusals_are_problems(
    api: TestClient, method: str, path: str, status: int, code: str
) -> None:
    answer = api.request(method, path)
    assert (answer.status_code, answer.headers["content-type"]) == (status, MEDIA_TYPE)
    assert answer.json()["code"] == code


def test_invalid_values_are_named_by_place_only(api: TestClient) -> None:
    answer = api.get("/api/v1/studies", params={"limit": "CANARY"})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["where"] == "query.limit"
    assert "CANARY" not in answer.text


def test_the_unforeseen_tells_nothing(
    api: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise KeyError("CANARY^DOE")

    monkeypatch.setattr(service_of(api).store, "study", broken)
    with caplog.at_level(logging.DEBUG):
        answer = api.get(f"/api/v1/studies/{'0' * 32}")
    assert (answer.status_code, answer.json()["code"]) == (500, "failed")
    assert "CANARY" not in answer.text
    assert "unexpected KeyError" in caplog.text
    assert "CANARY" not in caplog.text
