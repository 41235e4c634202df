"""The commands predict, submit and explain, on a bundle that was trained for it."""

import csv
import json
from pathlib import Path

import pytest

pytest.importorskip("tensorflow")

from covid_xray.errors import UsageError
from support.commands import call, refused
from support.datasets import CLASSES


def test_every_class_is_named_the_same_everywhere(evaluated_run: Path, drawn_data: Path, tmp_path: Path) -> None:
    """The original mixed two orders of the classes: here train, predict and submit agree image by image."""
    answers = call("predict", drawn_data / "virus", "--bundle", evaluated_run / "bundle", "--json")
    predicted = {Path(a["image"]).name: a["label"] for a in map(json.loads, answers.stdout.splitlines())}
    out = tmp_path / "submission.csv"
    assert (
        call("submit", "--data", drawn_data / "virus", "-o", out, "--bundle", evaluated_run / "bundle").exit_code == 0
    )
    submitted = {row["Image"]: row["Label"] for row in csv.DictReader(out.read_text().splitlines())}
    assert submitted == predicted
    assert list(submitted.values()).count("virus") >= 15
    facts = json.loads((evaluated_run / "bundle" / "bundle.json").read_text())
    assert facts["classes"] == list(CLASSES)


def test_explain_draws_every_class(evaluated_run: Path, drawn_data: Path, tmp_path: Path) -> None:
    image = drawn_data / "covid" / "covid-00.png"
    result = call("explain", image, "-o", tmp_path, "--bundle", evaluated_run / "bundle", "--all-classes")
    assert result.exit_code == 0, result.output
    assert sorted(p.name.rsplit("-", 1)[1] for p in tmp_path.iterdir()) == ["covid.png", "normal.png", "virus.png"]
    assert "No such class: flu" in refused(
        UsageError, "explain", image, "-o", tmp_path, "--bundle", evaluated_run / "bundle", "--class", "flu"
    )
