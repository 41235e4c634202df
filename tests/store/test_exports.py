"""Feedback becomes a manifest that the house reads; no cell is a formula."""

import csv
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from covid_xray.data.manifest.manifest import read_manifest
from covid_xray.store import tables
from covid_xray.store.exports import escape_formula
from covid_xray.store.records import now
from support.bundles import grey
from support.drawing import png
from support.servers import client, service_of, upload


@pytest.mark.parametrize(
    ("cell", "shown"),
    [("chest.png", "chest.png"), ("=1+1", "'=1+1"), ("@SUM(A1)", "'@SUM(A1)"), ("-x", "'-x"), ("", "")],
)
def test_no_cell_is_a_formula(cell: str, shown: str) -> None:
    assert escape_formula(cell) == shown


def test_feedback_is_a_manifest_for_training(tmp_path: Path) -> None:
    """Confirmed and corrected images, each with the label that the reader gave it; the newest word counts."""
    with client(tmp_path) as api:
        said = {
            "agree": {"verdict": "agree"},
            "correct": {"verdict": "correct", "label": "normal", "note": "=scar"},
            "disagree": {"verdict": "disagree"},
            "silent": None,
        }
        ids = {}
        for name, feedback in said.items():
            ids[name] = upload(api, png(grey("covid", seed=len(ids))), f"{name}.png")["id"]
            if feedback:
                api.post(f"/api/v1/studies/{ids[name]}/feedback", json={"verdict": "disagree"})
                api.post(f"/api/v1/studies/{ids[name]}/feedback", json=feedback)
        table = tmp_path / "feedback.csv"
        table.write_text(api.get("/api/v1/feedback.csv").text)
        manifest = read_manifest(table, images=tmp_path / "store" / "images")
    found = dict(zip(manifest.table["image"], manifest.table["label"], strict=True))
    assert found == {f"{ids['agree']}.png": "covid", f"{ids['correct']}.png": "normal"}
    assert "'=scar" in table.read_text()
    rows = {row["image"]: row for row in csv.DictReader(table.read_text().splitlines())}
    plain = rows[f"{ids['disagree']}.png"]
    assert (plain["verdict"], plain["label"], plain["answered"]) == ("disagree", "", "covid")


def test_feedback_outlives_its_study(tmp_path: Path) -> None:
    with client(tmp_path) as api:
        study, store = upload(api), service_of(api).store
        said = {"verdict": "correct", "label": "other", "note": "pneumothorax"}
        assert api.post(f"/api/v1/studies/{study['id']}/feedback", json=said).status_code == 201
        with store.database.writing() as connection:
            connection.execute(sa.update(tables.studies).values(created=now() - timedelta(hours=3)))
        assert store.expire(hours=2) == 1
        [row] = csv.DictReader(api.get("/api/v1/feedback.csv").text.splitlines())
        assert (row["image"], row["label"], row["note"]) == ("", "other", "pneumothorax")
        assert row["upload_sha256"] == study["upload_sha256"]
        again = upload(api)["id"]
        api.post(f"/api/v1/studies/{again}/feedback", json={"verdict": "agree"})
        api.delete(f"/api/v1/studies/{again}")  # deleted by a person, not by the clock: nothing of it is kept
        assert len(api.get("/api/v1/feedback.csv").text.splitlines()) == 2
