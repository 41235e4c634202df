"""The command evaluate, on a run that was trained for it."""

import csv
import json
from pathlib import Path

import pytest

pytest.importorskip("tensorflow")

from covid_xray.errors import InputRefused, UsageError
from support.commands import call, refused
from support.datasets import draw_folders


def test_evaluate_fills_the_run_folder(evaluated_run: Path) -> None:
    names = {path.name for path in evaluated_run.iterdir()}
    assert {"metrics.json", "predictions.csv", "figures", "report.html", "model_card.md"} <= names
    metrics = json.loads((evaluated_run / "metrics.json").read_text())
    assert metrics["figures"]["accuracy"]["value"] >= 0.8
    assert set(metrics["figures"]["macro_f1"]) >= {"value", "ci_low", "ci_high", "n"}


def test_evaluate_takes_the_test_part_and_pairs_by_image(evaluated_run: Path) -> None:
    split = {row["image"]: row for row in csv.DictReader((evaluated_run / "split.csv").read_text().splitlines())}
    rows = list(csv.DictReader((evaluated_run / "predictions.csv").read_text().splitlines()))
    assert {row["image"] for row in rows} == {image for image, row in split.items() if row["split"] == "test"}
    assert all(row["label"] == split[row["image"]]["label"] for row in rows)
    assert all(Path(row["image"]).parent.name == row["label"] for row in rows)


def test_evaluate_records_its_figures_in_the_bundle(evaluated_run: Path) -> None:
    facts = json.loads((evaluated_run / "bundle" / "bundle.json").read_text())
    assert facts["metrics"]["part"] == "test"
    assert call("info", "--bundle", evaluated_run / "bundle", "--json").exit_code == 0


def test_evaluate_chooses_parts_by_name(evaluated_run: Path, drawn_data: Path, tmp_path: Path) -> None:
    result = call(
        "evaluate", evaluated_run, "--data", drawn_data, "--part", "val", "-o", tmp_path / "val", "--rounds", 20
    )
    assert result.exit_code == 0, result.output
    val = {
        r["image"]
        for r in csv.DictReader((evaluated_run / "split.csv").read_text().splitlines())
        if r["split"] == "val"
    }
    rows = csv.DictReader((tmp_path / "val" / "predictions.csv").read_text().splitlines())
    assert {row["image"] for row in rows} == val
    assert "No images of the calibration part" in refused(
        UsageError, "evaluate", evaluated_run, "--data", drawn_data, "--part", "calibration"
    )


def test_evaluate_refuses_a_mixed_set_and_foreign_labels(evaluated_run: Path, drawn_data: Path, tmp_path: Path) -> None:
    mixed = draw_folders(tmp_path / "mixed", each=30)
    assert "--part" in refused(InputRefused, "evaluate", evaluated_run, "--data", mixed)
    (mixed / "normal").rename(mixed / "bacterial")
    assert "bacterial" in refused(InputRefused, "evaluate", evaluated_run / "bundle", "--data", mixed)


def test_evaluate_reports_a_bad_baselines_file(evaluated_run: Path, drawn_data: Path, tmp_path: Path) -> None:
    (tmp_path / "b.json").write_text("[1]")
    refused(
        InputRefused,
        "evaluate",
        evaluated_run,
        "--data",
        drawn_data,
        "--baselines",
        tmp_path / "b.json",
        "-o",
        tmp_path / "o",
    )
