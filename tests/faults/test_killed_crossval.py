"""A cross-validation killed with SIGKILL between and inside its folds: the answers of the undisturbed one.

Two kills, both inside a fold, by default; `COVID_XRAY_KILLS=5` kills it between the folds too.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from covid_xray.files import sha256_file
from support.datasets import draw_folders

pytest.importorskip("tensorflow")

KILLS = int(os.environ.get("COVID_XRAY_KILLS", "2"))
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def start(data: Path, out: Path) -> subprocess.Popen[str]:
    command = [sys.executable, str(Path(__file__).with_name("crossvaler.py")), str(data), str(out)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "ready\n", process.communicate()[1]
    return process


def kill_when(process: subprocess.Popen[str], condition: Callable[[], bool]) -> None:
    while not condition():
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.002)
    process.kill()
    process.communicate()


def lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.is_file() else 0


def test_a_killed_study_ends_with_the_answers_of_the_undisturbed_one(tmp_path: Path) -> None:
    data = draw_folders(tmp_path / "data", each=12, size=32)
    whole, torn = tmp_path / "whole", tmp_path / "torn"
    _, error = start(data, whole).communicate(timeout=600)
    assert (whole / "crossval.json").is_file(), error
    moments: list[Callable[[], bool]] = [
        (torn / "folds.csv").exists,
        lambda: lines(torn / "fold-1" / "history.csv") >= 3,
        (torn / "fold-1" / "predictions.csv").exists,
        lambda: lines(torn / "fold-2" / "history.csv") >= 4,
        (torn / "fold-2" / "fold.json").exists,
    ]
    chosen = moments if len(moments) <= KILLS else moments[1::2]
    for moment in chosen:
        kill_when(start(data, torn), moment)
    first = (torn / "fold-1" / "fold.json").stat().st_mtime_ns
    last = start(data, torn)
    _, error = last.communicate(timeout=600)
    assert last.returncode == 0, error
    assert (torn / "fold-1" / "fold.json").stat().st_mtime_ns == first, "a finished fold stays"
    assert sha256_file(torn / "predictions.csv") == sha256_file(whole / "predictions.csv")
    figures = [json.loads((out / "crossval.json").read_text())["figures"] for out in (whole, torn)]
    assert figures[0] == figures[1]
    litter = [p for p in torn.rglob("*") if p.name.startswith((".partial", ".former")) or p.name in ("cache", "bundle")]
    assert not litter
    print(f"{len(chosen)} kills in 2 folds: SHA-256 of the undisturbed answers")
