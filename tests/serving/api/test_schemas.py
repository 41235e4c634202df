"""Examples and answers have the form that the schemas say."""

from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest
from fastapi.testclient import TestClient

from support.servers import client, upload


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with client(tmp_path_factory.mktemp("openapi"), requests_per_minute=0) as inside:
        upload(inside)
        yield inside


@pytest.fixture(scope="module")
def document(api: TestClient) -> dict[str, Any]:
    return api.get("/api/v1/openapi.json").json()


def test_uploads_are_described(document: dict[str, Any]) -> None:
    for path in ("predict", "explain", "batch"):
        body = document["paths"][f"/api/v1/{path}"]["post"]["requestBody"]
        assert body["required"]
        assert body["content"]["multipart/form-data"]["schema"]["required"] == ["file"]


def test_examples_are_valid(document: dict[str, Any]) -> None:
    shown = 0
    for name, schema in document["components"]["schemas"].items():
        resolvable = {**schema, "components": document["components"]}
        for example in schema.get("examples", []):
            jsonschema_rs.Draft202012Validator(resolvable).validate(example)
            shown += 1
        leaf = name in ("ImageOut", "ItemOut", "HTTPValidationError", "ValidationError", "ModelOut")
        assert schema.get("examples") or leaf, name
    assert shown >= 10


def test_answers_have_the_form_that_openapi_says(api: TestClient, document: dict[str, Any]) -> None:
    study = upload(api)
    for path in ("/api/v1/studies", f"/api/v1/studies/{study['id']}", "/api/v1/model", "/api/v1/audit", "/api/v1/me"):
        template = path.replace(study["id"], "{id}")
        content = document["paths"][template]["get"]["responses"]["200"]["content"]["application/json"]
        schema = {**content["schema"], "components": document["components"]}
        jsonschema_rs.Draft202012Validator(schema).validate(api.get(path).json())
