"""The demo in small: every step on few phantoms, and a folder of somebody else's left alone."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

pytest.importorskip("tensorflow")

from covid_xray.cli import app
from covid_xray.cli.demo import BANNER, MARKER
from covid_xray.errors import UsageError


@pytest.mark.slow
def test_the_whole_job_on_few_phantoms(tmp_path: Path) -> None:
    out = tmp_path / "demo"
    (out / "run").mkdir(parents=True)  # what an earlier demo left
    for name in (MARKER, "run/config.yaml"):
        (out / name).touch()
    result = CliRunner().invoke(app, ["demo", "-o", str(out), "--patients", "60", "--epochs", "1"])
    assert result.exit_code == 0, (result.output, result.exception)
    assert "4 quarantined" in result.output
    assert "macro-F1 on phantoms" in result.output
    assert BANNER.split(".")[0] in (out / "run" / "report.html").read_text(encoding="utf-8")
    assert len(list((out / "predict" / "heatmaps").iterdir())) == 9
    assert len((out / "submission.csv").read_text().splitlines()) == 10


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    result = CliRunner().invoke(app, ["demo", "-o", str(tmp_path)])
    assert isinstance(result.exception, UsageError)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"
