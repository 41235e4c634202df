"""A drawn study and its bundle with a clinical input, made once."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from covid_xray.cli import app
from support.patients import draw_study


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return draw_study(tmp_path_factory.mktemp("study"), each=60)


@pytest.fixture(scope="session")
def fused(drawn: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, str]:
    """The bundle with a clinical input, the folder of the study, and what the command said."""
    bundle, table = drawn
    folder = tmp_path_factory.mktemp("fused")
    command = ["fuse", bundle, "--data", table, "-o", folder / "study", "--bundle", folder / "bundle", "--rounds", "50"]
    ran = CliRunner().invoke(app, [str(part) for part in command], catch_exceptions=False)
    assert ran.exit_code == 0, ran.output
    return folder / "bundle", folder / "study", ran.output
