from pathlib import Path
from typing import Any

from covid_xray.cli.training.tune import _print
from support.commands import run


def test_the_command_refuses_a_space_of_unknown_settings(tmp_path: Path, capfdbinary: Any) -> None:
    (tmp_path / "space.yaml").write_text("nonsense: {choice: [1]}\n")
    ran = run(capfdbinary, "tune", "--data", tmp_path, "-o", tmp_path / "out", "--space", tmp_path / "space.yaml")
    assert (ran.code, b"Not a setting of training" in ran.err) == (2, True)
    assert not (tmp_path / "out").exists()


def test_a_cluster_that_does_not_answer_is_said_before_the_data_are_read(tmp_path: Path, capfdbinary: Any) -> None:
    ran = run(capfdbinary, "tune", "--data", tmp_path / "gone", "-o", tmp_path / "out", "--address", "nowhere")
    assert (ran.code, b"HOST:PORT" in ran.err) == (2, True)


def test_a_folder_that_holds_a_search_is_refused_before_an_image_is_read(tmp_path: Path, capfdbinary: Any) -> None:
    (tmp_path / "plan.json").write_text("{}")
    ran = run(capfdbinary, "tune", "--data", tmp_path / "gone", "-o", tmp_path)
    assert (ran.code, b"holds a search" in ran.err) == (2, True)
    ran = run(capfdbinary, "tune", "--data", tmp_path / "gone", "-o", tmp_path / "new", "--resume")
    assert (ran.code, b"no search to resume" in ran.err) == (2, True)


def test_the_table_on_the_terminal_names_the_best_settings(capfd: Any) -> None:
    row = {"trial": 3, "learning_rate": 0.00123, "epochs": 4, "best_epoch": 3, "val_loss": 0.51234, "ended": "finished"}
    _print([row], Path("out"))
    printed = capfd.readouterr().out
    assert "0.00123" in printed
    assert "0.5123" in printed
    assert "out/best.yaml" in printed
