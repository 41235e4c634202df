"""What generated clients rely on: stable names of operations, and how to authenticate at each."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.servers import client

# Generated clients name their functions after these: a change breaks the programs of users.
OPERATIONS = {
    *("predict", "explain", "create_batch", "get_job", "get_model", "get_health", "get_readiness", "get_metrics"),
    *("list_studies", "export_studies", "get_study", "delete_study", "put_clinical", "get_report"),
    *("create_feedback", "list_feedback", "export_feedback", "get_image", "get_heatmap"),
    *("log_in", "log_out", "get_me", "change_password", "list_tokens", "create_token", "delete_token"),
    *("list_audit", "export_audit"),
}


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    with client(tmp_path_factory.mktemp("openapi")) as api:
        yield api.get("/api/v1/openapi.json").json()


def operations(document: dict[str, Any]) -> dict[str, tuple[str, str, dict[str, Any]]]:
    return {
        it["operationId"]: (path, method, it)
        for path, methods in document["paths"].items()
        for method, it in methods.items()
    }


def test_operations_keep_their_names(document: dict[str, Any]) -> None:
    assert set(operations(document)) >= OPERATIONS
    assert len(operations(document)) == sum(map(len, document["paths"].values()))


def test_each_says_how_to_authenticate(document: dict[str, Any]) -> None:
    assert set(document["components"]["securitySchemes"]) == {"bearer", "session", "csrf"}
    found = {name: it["security"] for name, (_, _, it) in operations(document).items()}
    assert found["get_health"] == found["get_readiness"] == found["log_in"] == []
    assert found["list_studies"] == [{"bearer": []}, {"session": []}]
    assert found["predict"] == [{"bearer": []}, {"session": [], "csrf": []}]
    assert sum(not it for it in found.values()) == 3


def test_the_document_is_the_same_each_time(tmp_path: Path, document: dict[str, Any]) -> None:
    with client(tmp_path) as api:
        assert api.app.openapi() == api.app.openapi() == document
