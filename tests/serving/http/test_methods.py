"""HEAD, OPTIONS and the `Allow` of a method that a path does not take."""

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from support.servers import client, upload

STUDY = f"/api/v1/studies/{'0' * 32}"


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with client(tmp_path_factory.mktemp("methods")) as inside:
        upload(inside)
        yield inside


@pytest.mark.parametrize(
    "path", ["/api/v1/studies", "/api/v1/model", "/healthz", "/worklist", "/static/style.css", STUDY]
)
def test_head_is_get_without_the_body(api: TestClient, path: str) -> None:
    got, head = api.get(path), api.head(path)
    assert (head.status_code, head.content) == (got.status_code, b"")
    assert head.headers["content-type"] == got.headers["content-type"]
    assert head.headers["content-length"] == got.headers["content-length"]


@pytest.mark.parametrize(
    ("path", "allow"),
    [
        (STUDY, "GET, HEAD, DELETE, OPTIONS"),
        ("/api/v1/studies", "GET, HEAD, OPTIONS"),
        ("/api/v1/predict", "POST, OPTIONS"),
        ("/login", "GET, HEAD, POST, OPTIONS"),
    ],
)
def test_allow_names_every_method_of_the_path(api: TestClient, path: str, allow: str) -> None:
    refused = api.patch(path)
    assert (refused.status_code, refused.headers["allow"]) == (405, allow)
    asked = api.options(path)
    assert (asked.status_code, asked.headers["allow"], asked.content) == (204, allow, b"")
    assert asked.headers["x-content-type-options"] == "nosniff"


def test_an_unknown_path_has_no_methods(api: TestClient) -> None:
    assert api.options("/nowhere").status_code in (404, 405)
    assert api.head("/nowhere").status_code == 404
    assert "allow" not in api.get("/nowhere").headers


def test_metrics_have_the_method_that_was_sent_and_no_stray_route(api: TestClient) -> None:
    api.head("/api/v1/model")
    for path in ("/api/v1/nowhere", "/api/v1/studies/not-an-id/nowhere", "/CANARY", "/static/CANARY.css"):
        api.get(path)
    api.request("CANARY", "/api/v1/model")
    lines = [line for line in api.get("/metrics").text.splitlines() if line.startswith("covid_xray_requests_total")]
    assert any('method="HEAD",route="/api/v1/model",status="200"' in line for line in lines)
    assert any('method="other"' in line for line in lines)
    assert not any("CANARY" in line or "nowhere" in line or "v1unknown" in line for line in lines)
