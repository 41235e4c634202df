"""Every response carries the security headers, refusals too."""

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from support.servers import client, file


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with client(tmp_path_factory.mktemp("headers")) as inside:
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
