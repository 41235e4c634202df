"""`covid-xray compare` as a user runs it."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from covid_xray.cli import app
from covid_xray.errors import InputRefused
from covid_xray.evaluation.predictions import write_predictions
from support.figures import without_n
from support.scored import two


@pytest.fixture
def runs(tmp_path):
    folders = tmp_path / "a", tmp_path / "b"
    for folder, predictions in zip(folders, two(300, chances=(0.5, 0.9)), strict=True):
        write_predictions(folder / "predictions.csv", predictions)
    return folders


def call(*words: object):
    return CliRunner().invoke(app, ["compare", *map(str, words), "--rounds", "50"], terminal_width=200)


def test_the_table_and_the_file_say_the_same(runs):
    result = call(*runs)
    assert result.exit_code == 0, result.output
    facts = json.loads((runs[1] / "comparison.json").read_text(), parse_constant=pytest.fail)
    assert without_n(facts) == []
    assert "300 images" in result.output
    assert f"{facts['figures']['macro_f1']['difference']:+.3f}" in result.output
    assert "p < 0.001" in result.output
    assert facts["figures"]["accuracy"]["ci_low"] > 0
    assert f"only the second {facts['mcnemar']['only_second']}" in result.output


def test_json_is_the_file_and_goes_where_it_is_told(runs, tmp_path):
    result = call(runs[0] / "predictions.csv", runs[1], "--json", "-o", tmp_path / "c.json")
    assert json.loads(result.stdout) == json.loads((tmp_path / "c.json").read_text())
    assert not (runs[1] / "comparison.json").exists()


def test_a_run_that_was_not_evaluated_is_refused(runs, tmp_path):
    (tmp_path / "empty").mkdir()
    result = call(runs[0], tmp_path / "empty")
    assert isinstance(result.exception, InputRefused)
    assert "covid-xray evaluate" in result.exception.message
    assert not (tmp_path / "empty" / "comparison.json").exists()


def test_too_few_shared_images_are_refused(runs, tmp_path):
    few = two(300)[0].take(np.arange(300) < 10)
    write_predictions(tmp_path / "few" / "predictions.csv", few)
    assert isinstance(call(runs[0], tmp_path / "few").exception, InputRefused)
