"""The command lr-find: files, a suggestion, and the whole next command."""

import json
from pathlib import Path

from covid_xray.errors import UsageError
from support.commands import SETTINGS, call, refused
from support.datasets import draw_folders


def test_it_suggests_a_rate_and_trains_nothing(tmp_path: Path) -> None:
    data = draw_folders(tmp_path / "data", each=8)
    out = tmp_path / "rates"
    result = call("lr-find", "--data", data, "-o", out, *SETTINGS, "--set", "calibration_fraction=0", "--steps", 40,
                  "--lowest", "1e-5", "--rule", "minimum")  # fmt: skip
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in out.iterdir()) == ["rates.csv", "rates.json", "rates.png"]
    facts = json.loads((out / "rates.json").read_text())
    assert 1e-5 < facts["suggestion"] < 1
    assert (facts["rule"], facts["lowest"]) == ("minimum", 1e-5)
    (following,) = [line for line in result.output.splitlines() if line.startswith("next:")]
    assert following.startswith(f"next: covid-xray train --data {data} --output {tmp_path / 'rates-train'}")
    assert "--set image_size=32 --set 'blocks=[8,16]'" in following
    assert following.endswith(f"--set calibration_fraction=0 --set learning_rate={facts['suggestion']:.2g}")


def test_settings_are_checked_before_images_are_read(tmp_path: Path) -> None:
    said = refused(
        UsageError, "lr-find", "--data", tmp_path, "-o", tmp_path / "r", "--set", "freeze=[conv9]", *SETTINGS
    )
    assert "'conv9' (freeze)" in said
