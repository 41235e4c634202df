"""Who may read the audit log, with which filters, and that reading it is a line too."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from support.servers import audit_lines, client, upload


@pytest.fixture
def api(tmp_path: Path) -> Iterator[TestClient]:
    with client(tmp_path) as inside:
        study = upload(inside)["id"]
        inside.get(f"/api/v1/studies/{study}")
        inside.delete(f"/api/v1/studies/{study}")
        yield inside


def test_filters_and_pages(api: TestClient) -> None:
    everything = api.get("/api/v1/audit").json()
    assert [line["action"] for line in everything] == ["read-log", "delete", "view", "upload"]
    assert {line["address"] for line in everything} == {"testclient"}
    for query, wanted in (
        ("action=view", ["view"]),
        (f"before={everything[1]['id']}&limit=1", ["view"]),
        (f"before={everything[2]['id']}", ["upload"]),
        ("who=nobody", []),
        ("refused=true", []),
        ("until=2020-01-01T00:00:00Z", []),
    ):
        assert [line["action"] for line in api.get(f"/api/v1/audit?{query}").json()] == wanted, query
    assert api.get("/api/v1/audit?limit=0").status_code == 422


def test_export_with_the_hashes(api: TestClient) -> None:
    rows = list(csv.DictReader(io.StringIO(api.get("/api/v1/audit.csv").text)))
    assert [row["action"] for row in rows] == ["upload", "view", "delete", "export-log"]
    assert [row["hash"] for row in rows] == [line.hash for line in audit_lines(api)]


def test_the_page_filters_and_an_expired_study_is_a_line(tmp_path: Path) -> None:
    with client(tmp_path) as api:
        identity = upload(api)["id"]
        api.app.state.service.store.expire(hours=1e-9)
        assert [(line.who, line.action, line.what) for line in audit_lines(api)][-1] == ("server", "expire", identity)
        page = api.get("/audit?action=expire&since=2020-01-01&until=nonsense", headers={"Accept": "text/html"}).text
        assert identity in page
        assert 'value="2020-01-01"' in page
        assert "action=expire" in page  # in the link of the export
        assert identity not in api.get("/audit?action=view").text
