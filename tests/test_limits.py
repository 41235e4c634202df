"""Limits are frozen, strict about names, agree with each other, and can be set for a program."""

import subprocess
import sys
from pathlib import Path

import pytest

from covid_xray.config import Serving, load
from covid_xray.errors import UsageError
from covid_xray.limits import VARIABLE, Limits, parse_limits, set_limits
from covid_xray.pacs.settings import Pacs
from support import drawing


def test_limits_are_frozen_and_strict_about_names() -> None:
    with pytest.raises(AttributeError):
        Limits().pixels = 1  # type: ignore[misc]
    with pytest.raises(TypeError):
        Limits(pixel=1)  # type: ignore[call-arg]


def test_the_defaults_let_an_ordinary_plate_in_and_agree() -> None:
    limits = Limits().require_agreement()
    plate = 3520 * 4280
    assert (plate < limits.pixels, 2 * plate < limits.upload_bytes, 2 * limits.pixels <= limits.upload_bytes) == (
        True,
        True,
        True,
    )


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"pixels": 60_000_000}, "120,000,000 bytes"),
        ({"upload_bytes": 20_000_000}, "Set upload_bytes and pixels together"),
        ({"upload_bytes": 3_000_000_000}, "a whole archive"),
        ({"side": 0}, "Give more than 0"),
    ],
)
def test_limits_that_contradict_each_other_are_refused(values: dict, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        Limits(**values).require_agreement()


def test_limits_are_set_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "decode_seconds=9")
    assert (Limits().decode_seconds, Limits().side) == (9.0, 8192)
    set_limits(["pixels=60000000", "upload_bytes=130000000"])
    assert (Limits().pixels, Limits().upload_bytes, Limits().decode_seconds) == (60_000_000, 130_000_000, 9.0)
    with pytest.raises(UsageError, match="Set upload_bytes and pixels together"):
        set_limits(["pixels=90000000"])


@pytest.mark.parametrize(
    ("setting", "problem"),
    [("pixel=3", "Did you mean pixels"), ("pixels=many", "Give a number"), ("pixels", "Give a number")],
)
def test_what_is_no_limit_is_refused(setting: str, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        parse_limits([setting])


@pytest.mark.parametrize("kind", [Serving, Pacs])
def test_the_limits_are_settings_of_server_and_node(kind: type) -> None:
    values = ["limits.pixels=60000000", "limits.upload_bytes=130000000"]
    assert load(kind, overrides=values).limits.pixels == 60_000_000
    for bad, problem in ((values[:1], "Set upload_bytes"), (["limits.pixel=3"], "pixel"), (["limits.side=x"], "side")):
        with pytest.raises(UsageError, match=problem):
            load(kind, overrides=bad)


def test_the_command_line_sets_them_for_every_command(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(drawing.png(drawing.picture(40, 30)))
    command = [sys.executable, "-m", "covid_xray", "--limit", "side=39", "predict", str(tmp_path)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert (ran.returncode, "too-many-pixels" in ran.stderr) == (3, True)
    command[4] = "sides=39"
    ran = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert (ran.returncode, "No such limit: sides" in ran.stderr) == (2, True)
