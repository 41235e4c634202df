"""`covid-xray audit` as a user runs it."""

import json

import pytest
from typer.testing import CliRunner

from covid_xray.bundle.bundle import record
from covid_xray.cli import app
from covid_xray.errors import InputRefused, UsageError
from support.watching import CORNER, draw_chests, make_bundle


@pytest.fixture(scope="module")
def chests(tmp_path_factory):
    return draw_chests(tmp_path_factory.mktemp("chests"))


def call(*words: object):
    return CliRunner().invoke(app, ["audit", "--rounds", "40", "--heatmaps", "0", *map(str, words)], terminal_width=200)


def test_a_run_folder_gets_the_audit(chests, tmp_path):
    data, masks = chests
    make_bundle(tmp_path / "run" / "bundle", CORNER)
    result = call(tmp_path / "run", "--data", data, "--masks", masks)
    assert result.exit_code == 0, result.output
    facts = json.loads((tmp_path / "run" / "audit.json").read_text())
    assert facts["verdict"]["kind"] == "shortcut"
    assert facts["verdict"]["line"] in result.stdout.replace("\n", " ")
    assert (tmp_path / "run" / "audit.md").is_file()


def test_labels_that_the_network_does_not_answer_are_left_out_and_counted(chests, tmp_path):
    data, masks = chests
    make_bundle(tmp_path / "run" / "bundle", CORNER)
    record(tmp_path / "run" / "bundle", unanswered=["other"])
    rows = (data / "manifest.csv").read_text().replace("normal-00.png,normal", "normal-00.png,other")
    (data / "others.csv").write_text(rows)
    result = call(tmp_path / "run", "--data", data / "others.csv", "--masks", masks)
    assert result.exit_code == 0, result.output
    assert "1 images left out: the network was trained on their labels" in result.stderr


def test_heat_maps_are_tested_unless_told_otherwise(chests, tmp_path):
    data, masks = chests
    make_bundle(tmp_path / "run" / "bundle", CORNER)
    make_bundle(tmp_path / "other" / "bundle", CORNER, seed=1)
    result = call(tmp_path / "run", "--data", data, "--masks", masks, "--other", tmp_path / "other", "--heatmaps", 4)
    assert result.exit_code == 0, result.output
    assert "not a localisation" in result.stdout
    maps = json.loads((tmp_path / "run" / "audit.json").read_text())["heatmaps"]
    assert (maps["images"], maps["seeds"]["networks"]) == (4, 2)


def test_a_bundle_alone_needs_a_folder_to_write_to(chests, tmp_path):
    data, masks = chests
    bundle = make_bundle(tmp_path / "bundle", CORNER)
    assert isinstance(call(bundle, "--data", data).exception, UsageError)
    assert call(bundle, "--data", data, "--masks", masks, "-o", tmp_path / "out").exit_code == 0
    assert sorted(path.name for path in bundle.iterdir()) == ["bundle.json", "model.onnx"]


@pytest.mark.parametrize("option", ["--baselines", "--crossval"])
def test_a_file_of_another_kind_is_refused(chests, tmp_path, option):
    make_bundle(tmp_path / "run" / "bundle", CORNER)
    (tmp_path / "other.json").write_text("[]")
    result = call(tmp_path / "run", "--data", chests[0], option, tmp_path / "other.json")
    assert isinstance(result.exception, InputRefused)
    assert not (tmp_path / "run" / "audit.json").exists()
