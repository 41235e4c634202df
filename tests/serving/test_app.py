"""OpenAPI says what the server does: complete, its examples valid, and requests made from it never end in a 5xx.

A few dozen requests for each operation by default; `COVID_XRAY_REQUESTS=1000` is the long version.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import schemathesis
import write_api_reference
from fastapi.testclient import TestClient
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, status_code_conformance

from support.servers import Process, client, service_of, upload

REQUESTS = int(os.environ.get("COVID_XRAY_REQUESTS", "25"))


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with client(tmp_path_factory.mktemp("openapi"), requests_per_minute=0) as inside:
        upload(inside)
        yield inside


@pytest.fixture(scope="module")
def document(api: TestClient) -> dict[str, Any]:
    return api.get("/api/v1/openapi.json").json()


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def test_every_operation_says_what_it_does_and_how_it_fails(document: dict[str, Any]) -> None:
    for method, path, operation in operations(document):
        assert operation["description"], (method, path)
        assert operation["tags"]
        if path.startswith("/api/"):
            assert {"401", "403", "429", "503"} <= set(operation["responses"]), (method, path)
        for status, response in operation["responses"].items():
            content = response.get("content", {})
            if int(status) >= 400 and not path.endswith("z"):
                assert list(content) == ["application/problem+json"], (method, path, status)
            elif status not in ("204",):
                assert content, (method, path, status)


@pytest.mark.timeout(900 + 5 * REQUESTS)
def test_no_request_ends_in_a_5xx(tmp_path: Path, postgresql: str) -> None:
    """On PostgreSQL, which is the stricter of the two databases about what it takes."""
    settings = ["--set", "requests_per_minute=0", "--set", "logins_per_minute=1000000", "--set", "body_seconds=5"]
    tested = 0
    with Process(tmp_path, *settings, COVID_XRAY_DATABASE=postgresql) as server:
        with server.client() as inside:
            study = upload(inside)["id"]
        schema = schemathesis.openapi.from_url(f"{server.address}/api/v1/openapi.json")
        schema.config.generation.update(with_security_parameters=False)  # nobody has to log in here
        found = [result.ok() for result in schema.get_all_operations()]
        for operation in sorted(found, key=lambda it: it.method != "get"):  # lists, while they are short
            _try(operation, study)
            tested += 1
        log = server.text()
    assert tested >= 20
    print(f"{tested} operations, {REQUESTS} requests each: no 5xx")
    assert "unexpected" not in log
    assert "Traceback" not in log


def _try(operation: Any, study: str) -> None:
    """Send what the schema allows and what it does not; half of the ids are of a study that is there."""

    @hypothesis.given(case=operation.as_strategy(), there=hypothesis.strategies.booleans())
    @hypothesis.settings(
        max_examples=REQUESTS,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    def send(case: Any, there: bool) -> None:
        if there and "id" in (case.path_parameters or {}) and case.method != "DELETE":
            case.path_parameters["id"] = study
        response = case.call()
        case.validate_response(response, checks=[not_a_server_error, status_code_conformance, content_type_conformance])

    try:
        send()
    except* hypothesis.errors.FlakyStrategyDefinition:  # on a busy machine schemathesis may draw differently: once more
        send()


def test_the_reference_page_is_what_openapi_says() -> None:
    assert write_api_reference.PAGE.read_text(encoding="utf-8") == write_api_reference.page(), "run `make docs`"


def test_the_service_is_whole_after_all_that(api: TestClient) -> None:
    admission = service_of(api).admission
    assert (admission.admitted, admission.working) == (0, 0)
