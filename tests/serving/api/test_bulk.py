"""Many studies at once: each has its own result, in order, and one that is gone stops none."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from support.servers import audit_lines, client, service_of, upload

NONE = "0" * 32


@pytest.fixture
def api(tmp_path: Path) -> Iterator[TestClient]:
    with client(tmp_path) as inside:
        yield inside


def test_read_judge_and_delete(api: TestClient) -> None:
    first, second = (upload(api, name=name)["id"] for name in ("a.png", "b.png"))
    found = api.post("/api/v1/bulk/studies", json={"ids": [second, NONE, first]}).json()
    assert [study["id"] for study in found["studies"]] == [second, first]
    assert found["missing"] == [NONE]
    verdicts = [
        {"id": first, "verdict": "agree"},
        {"id": second, "verdict": "correct"},
        {"id": NONE, "verdict": "agree"},
    ]
    judged = api.post("/api/v1/bulk/feedback", json={"feedback": verdicts}).json()
    assert (judged["done"], judged["failed"]) == (1, 2)
    assert [item["code"] for item in judged["results"]] == [None, "bad-feedback", "not-found"]
    assert api.get(f"/api/v1/studies/{first}").json()["verdict"] == "agree"
    deleted = api.post("/api/v1/bulk/delete", json={"ids": [first, NONE, first]}).json()
    assert [item["code"] for item in deleted["results"]] == [None, "not-found", "not-found"]
    assert api.get("/api/v1/studies").json()["total"] == 1
    done = [(line.action, line.what) for line in audit_lines(api) if line.action != "view"]
    assert done[2:4] == [("feedback", first), ("delete", first)]


def test_what_is_refused_whole(api: TestClient) -> None:
    for path, body in (
        ("delete", {"ids": []}),
        ("delete", {"ids": ["x"]}),
        ("studies", {"ids": [NONE] * 501}),
        ("feedback", {"feedback": [{"id": NONE, "verdict": "perhaps"}]}),
    ):
        assert api.post(f"/api/v1/bulk/{path}", json=body).status_code == 422
    service_of(api).accounts.add("doe", password="ten letters or more", role="reader")
    token = {"Authorization": f"Bearer {service_of(api).accounts.new_token('doe')}"}
    assert api.post("/api/v1/bulk/delete", json={"ids": [NONE]}, headers=token).status_code == 403
