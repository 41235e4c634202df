"""What commands say on the terminal: names that cannot harm it, failures one a line, and the exit code at the end."""

import os
import shlex
from pathlib import Path

import pytest

from covid_xray.cli import terminal
from covid_xray.errors import InputRefused, PartlyDone
from covid_xray.inference.finding import Failure

FAILURES = [Failure("a\n.png", "not-an-image", "expected an image"), Failure("[red]b.png", "empty", "expected bytes")]


def test_control_characters_are_shown_as_escapes() -> None:
    assert terminal.readable("two\nlines\x1b[31m.png") == "two\\nlines\\x1b[31m.png"
    assert terminal.readable("é ü.png") == "é ü.png"


def test_nothing_failed_ends_well() -> None:
    terminal.finish([], 3)


def test_some_failures_are_partly_done_and_all_are_refused(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(PartlyDone, match="2 of 3"):
        terminal.finish(FAILURES, 3)
    with pytest.raises(InputRefused, match="None of the 2 images"):
        terminal.finish(FAILURES, 2)


def test_each_failure_is_one_line_with_its_code(monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    monkeypatch.setattr(terminal.Terminal, "line", lambda _, text: lines.append(text))
    terminal.print_failures(FAILURES)
    assert lines == ["a\\n.png: expected an image (not-an-image)", "[red]b.png: expected bytes (empty)"]


def test_a_stage_that_is_done_leaves_a_line(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "err", terminal.Terminal(stderr=True))
    with terminal.stages() as step:
        step("decode", 1, 2, "")
        step("decode", 2, 2, "")
        step("epoch 1/1", 1, 1, "loss 0.5")
    said = capfd.readouterr().err
    assert "decode: 2 done" in said
    assert "epoch 1/1: loss 0.5" in said


def test_the_next_command_is_one_quoted_line_however_long(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    folder = "a folder/" + "long " * 60 + os.fsdecode(b"caf\xe9") + ":cat:[red]"
    terminal.print_next("evaluate", Path("runs/x"), data=folder, images=None, where=["a=1", "b!=2 3"], label=[])
    line = capfdbinary.readouterr().out
    assert line.startswith(b"next: covid-xray evaluate runs/x --data 'a folder/")
    assert line.count(b"\n") == 1
    assert shlex.split(os.fsdecode(line))[4:] == ["--data", folder, "--where", "a=1", "--where", "b!=2 3"]
