"""What every response carries, which Host names are answered, and what the access log says."""

import logging
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from support.servers import client, file, service_of, upload


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with client(tmp_path_factory.mktemp("shields")) as inside:
        yield inside


@pytest.mark.parametrize("path", ["/", "/healthz", "/api/v1/studies", "/api/v1/openapi.json", "/nothing", "/static/x"])
def test_every_response_has_the_headers(api: TestClient, path: str) -> None:
    headers = api.get(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["x-frame-options"] == "DENY"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert "server" not in headers
    assert headers["cache-control"] == ("no-cache" if path.startswith("/static/") else "no-store")


def test_refusals_have_them_too(api: TestClient) -> None:
    for answer in (
        api.post("/api/v1/predict"),
        api.put("/api/v1/studies"),
        api.post("/api/v1/predict", files=file(b"")),
    ):
        assert answer.status_code >= 400
        assert "default-src 'none'" in answer.headers["content-security-policy"]


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


def test_the_access_log_says_routes_and_no_values(api: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    api.cookies.clear()
    study = upload(api)
    caplog.clear()  # of the upload, where another test left the log open
    with caplog.at_level(logging.INFO, logger="covid_xray.serving.access"):
        api.get(f"/api/v1/studies/{study['id']}")
        api.get("/api/v1/studies?q=CANARY")
        api.get("/CANARY")
    lines = [record.getMessage().rpartition(" ")[0].rpartition(" ")[0] for record in caplog.records]
    assert lines == ["GET /api/v1/studies/{id} 200", "GET /api/v1/studies 200", "GET unknown 404"]


def test_metrics_count_routes_and_codes(api: TestClient) -> None:
    api.cookies.clear()
    study = upload(api)
    api.get(f"/api/v1/studies/{study['id']}")
    api.post("/api/v1/predict", files=file(b"CANARY", "CANARY"))
    text = api.get("/metrics").text
    assert 'covid_xray_requests_total{method="GET",route="/api/v1/studies/{id}",status="200"}' in text
    assert 'covid_xray_refusals_total{code="not-an-image"}' in text
    assert study["id"] not in text
    assert "CANARY" not in text
