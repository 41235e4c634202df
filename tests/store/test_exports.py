"""Feedback becomes a manifest that the house reads; no cell is a formula."""

from pathlib import Path

import pytest

from covid_xray.data.manifest.manifest import read_manifest
from covid_xray.store.exports import escape_formula
from support.bundles import grey
from support.drawing import png
from support.servers import client, upload


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
