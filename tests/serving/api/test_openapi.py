"""What generated clients rely on: stable names of operations, and how to authenticate at each."""

import importlib
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from support.servers import COVID, Process, client

CONFIG = Path(__file__).parents[3] / "docs" / "how-to" / "openapi-client.yaml"
TOKEN = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822c"

# Generated clients name their functions after these: a change breaks the programs of users.
OPERATIONS = {
    *("predict", "explain", "create_batch", "get_job", "get_model", "get_health", "get_readiness", "get_metrics"),
    *("list_studies", "export_studies", "get_study", "delete_study", "put_clinical", "get_report"),
    *("create_feedback", "list_feedback", "export_feedback", "get_image", "get_heatmap"),
    *("log_in", "log_out", "get_me", "change_password", "list_tokens", "create_token", "delete_token"),
    *("list_audit", "export_audit", "bulk_read", "bulk_delete", "bulk_feedback"),
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


@pytest.fixture(scope="module")
def generated(document: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """The package that openapi-python-client makes of the document, without a warning."""
    folder = tmp_path_factory.mktemp("generated")
    (folder / "openapi.json").write_text(json.dumps(document))
    command = [sys.executable, "-m", "openapi_python_client", "generate", "--path", folder / "openapi.json"]
    options = ["--config", CONFIG, "--output-path", folder / "made", "--fail-on-warning"]
    made = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stdout + made.stderr
    sys.path.insert(0, str(folder / "made"))
    yield importlib.import_module("covid_xray_client")
    sys.path.remove(str(folder / "made"))


def test_a_generated_client_uploads_lists_and_judges(tmp_path: Path, generated: ModuleType) -> None:
    from covid_xray_client.api.answers import predict
    from covid_xray_client.api.bulk import bulk_delete
    from covid_xray_client.api.studies import create_feedback, get_image, list_studies
    from covid_xray_client.models import FeedbackIn, PredictBody, StudyIds
    from covid_xray_client.types import File

    with Process(tmp_path, COVID_XRAY_TOKEN=TOKEN) as server:
        access = {"base_url": server.address, "raise_on_unexpected_status": True}
        with generated.AuthenticatedClient(token=TOKEN, **access) as known:
            body = PredictBody(file=File(payload=io.BytesIO(COVID), file_name="chest.png", mime_type="image/png"))
            study = predict.sync(client=known, body=body)
            assert study.label == "covid"
            page = list_studies.sync(client=known, since=date(2020, 1, 1), label=["covid"])
            assert ([it.id for it in page.studies], page.next_) == ([study.id], None)
            verdict = FeedbackIn.from_dict({"verdict": "agree"})
            assert create_feedback.sync(study.id, client=known, body=verdict).study_id == study.id
            assert get_image.sync(study.id, client=known).payload.read().startswith(b"\x89PNG")
            assert bulk_delete.sync(client=known, body=StudyIds(ids=[study.id])).done == 1
        with generated.AuthenticatedClient(token="x", **access) as unknown:
            assert list_studies.sync(client=unknown).code == "bad-token"
