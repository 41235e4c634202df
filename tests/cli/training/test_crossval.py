"""`covid-xray crossval` as a user runs it."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from covid_xray.cli import app
from covid_xray.errors import UsageError

pytest.importorskip("tensorflow")

from support.datasets import draw_folders

SMALL = ["image_size=32", "blocks=[8,16]", "convolutions=1", "dense=[32]", "batch_size=8", "learning_rate=0.003"]
SETTINGS = [part for text in [*SMALL, "initializer=he_normal"] for part in ("--set", text)]


def call(*words: object) -> Result:
    return CliRunner().invoke(app, ["crossval", *map(str, words)], terminal_width=200)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_folders(tmp_path_factory.mktemp("data"), each=10)


def test_the_terminal_the_file_and_the_page_say_the_same(data: Path, tmp_path: Path) -> None:
    words = ["--data", data, "-o", tmp_path / "cv", "--folds", 2, "--group", "image", "--rounds", 20]
    result = call(*words, "--epochs", 3, *SETTINGS)
    assert result.exit_code == 0, result.output
    facts = json.loads((tmp_path / "cv" / "crossval.json").read_text(), parse_constant=pytest.fail)
    assert f"{facts['figures']['accuracy']['value']:.3f}" in result.output
    assert "research use, not for diagnosis" in result.output
    assert "this leaks" in result.output.replace("\n", " ")
    assert "fold 2/2, epoch 3/3" in result.output
    assert "left" in result.output
    assert str(tmp_path / "cv" / "crossval.md") in result.output
    again = call(*words, "--resume")  # the settings are those of the study
    assert again.exit_code == 0, again.output
    assert "epoch" not in again.output
    other = call(*words, "--resume", "--set", "seed=4")
    assert isinstance(other.exception, UsageError)


@pytest.mark.parametrize(
    ("words", "said"),
    [(["--group", "hospital"], "'hospital' is not one of"), (["--leave-out", "class"], "'class' is not")],
)
def test_what_does_not_exist_is_refused_before_anything_is_read(words: list[str], said: str, tmp_path: Path) -> None:
    result = call("--data", tmp_path / "nothing", "-o", tmp_path / "cv", *words)
    assert result.exit_code == 2
    assert said in result.output
    assert not (tmp_path / "cv").exists()


@pytest.mark.parametrize(("there", "words"), [(True, []), (False, ["--resume"])])
def test_a_folder_that_is_taken_or_not_begun_is_refused_before_an_image_is_read(
    there: bool, words: list[str], tmp_path: Path
) -> None:
    if there:
        (tmp_path / "plan.json").write_text("{}")
    result = call("--data", tmp_path / "nowhere", "-o", tmp_path, *words)
    assert isinstance(result.exception, UsageError)
    assert "cross-validation" in str(result.exception)
