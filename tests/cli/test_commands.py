"""The commands that users have typed into scripts keep their names, and each belongs to the one application."""

import pytest
from typer.main import get_command

from covid_xray import __version__
from covid_xray.cli.commands import app
from support.commands import call

NAMES = {
    *("index", "split", "doctor", "baselines", "duplicates", "train", "export", "evaluate", "train-lungs", "lungs"),
    *("fuse", "outcomes", "calibrate", "crossval", "tune", "compare", "audit", "predict", "explain", "submit"),
    *(
        "selftest",
        "info",
        "score",
        "dicom",
        "serve",
        "user",
        "pacs",
        "demo",
        "commission",
        "monitor",
        "wrap",
        "lr-find",
    ),
}


def test_the_commands_keep_their_names() -> None:
    assert set(get_command(app).commands) == NAMES  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", sorted(NAMES))
def test_every_command_helps(name: str) -> None:
    result = call(name, "--help")
    assert result.exit_code == 0
    assert "Usage" in result.output


def test_the_version_is_that_of_the_package() -> None:
    assert call("--version").output == f"covid-xray {__version__}\n"
