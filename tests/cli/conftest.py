"""A drawn data set, a run trained on it, and its evaluation, made once."""

from pathlib import Path

import pytest

from support.commands import SETTINGS, call
from support.datasets import draw_folders


@pytest.fixture(scope="session")
def drawn_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = draw_folders(tmp_path_factory.mktemp("commands") / "data", each=20)
    (root / "covid" / "page.png").write_text("<!DOCTYPE html>")
    return root


@pytest.fixture(scope="session")
def trained_run(drawn_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("tensorflow")
    out = tmp_path_factory.mktemp("commands-run") / "run"
    result = call("train", "--data", drawn_data, "-o", out, "--epochs", 12, *SETTINGS)
    assert result.exit_code == 0, result.output
    assert "60 indexed + 1 quarantined" in result.output
    assert "not-an-image" in result.output
    assert result.output.index("quarantined") < result.output.index("epoch 1/12")
    return out


@pytest.fixture(scope="session")
def evaluated_run(trained_run: Path, drawn_data: Path) -> Path:
    result = call("evaluate", trained_run, "--data", drawn_data, "--rounds", 50)
    assert result.exit_code == 0, result.output
    assert "macro_f1" in result.output
    return trained_run
