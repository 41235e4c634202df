"""The page and the chart of a cross-validation."""

import json
from pathlib import Path

import pytest

from covid_xray.training.crossval.folds import Protocol
from support.figures import without_n
from support.folds import manifest, study


def test_the_page_cannot_be_broken_by_a_label(tmp_path: Path) -> None:
    facts = study(tmp_path, manifest(), Protocol(folds=2))
    page = (tmp_path / "crossval.md").read_text()
    assert "<b>" not in page
    head = next(line for line in page.splitlines() if line.startswith("| figure"))
    rows = [line for line in page.splitlines() if line.startswith("| f1/")]
    assert len(rows) == 2
    assert all(row.replace("\\|", "").count("|") == head.count("|") for row in rows)
    assert json.loads((tmp_path / "crossval.json").read_text(), parse_constant=pytest.fail) == json.loads(
        json.dumps(facts)
    )


def test_the_worst_source_and_the_sources_are_on_the_page(tmp_path: Path) -> None:
    facts = study(tmp_path, manifest(sources=2), Protocol(folds=2))
    assert without_n(facts) == []
    page = (tmp_path / "crossval.md").read_text()
    assert f"Worst source by accuracy: {facts['worst_source']['name']}" in page
    assert "| s0 | 20 |" in page
    assert (tmp_path / "figures" / "folds.png").stat().st_size > 5000
    assert (tmp_path / "figures" / "by_source.png").is_file()
