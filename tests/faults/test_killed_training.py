"""Training that is killed with SIGKILL at random moments ends where the undisturbed run does.

Five kills by default; `COVID_XRAY_KILLS=100` is the long version (about a quarter of an hour on two cores).
"""

import csv
import dataclasses
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from covid_xray.training import checkpoint
from support.datasets import draw_folders

pytest.importorskip("tensorflow")

KILLS = int(os.environ.get("COVID_XRAY_KILLS", "5"))
EPOCHS = 10
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900 + 60 * KILLS)]


@dataclasses.dataclass
class Trainer:
    """A process that trains, known to have imported everything."""

    process: subprocess.Popen[str]

    @classmethod
    def start(cls, data: Path, out: Path) -> "Trainer":
        script = Path(__file__).with_name("trainer.py")
        command = [sys.executable, str(script), str(data), str(out), str(EPOCHS)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert process.stdout
        assert process.stdout.readline() == "ready\n", process.communicate()[1]
        return cls(process)

    def finish(self) -> str:
        """The hash of the weights."""
        out, error = self.process.communicate(timeout=900)
        assert self.process.returncode == 0, error
        return out.strip()

    def killed_after(self, seconds: float) -> bool:
        """Whether it was still at work after so many seconds, and is dead now."""
        try:
            self.process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()
            return True
        return False


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_folders(tmp_path_factory.mktemp("data"), each=16, size=32)


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[str], float]:
    """Weights' hash, history and seconds of the undisturbed run."""
    out = tmp_path_factory.mktemp("whole") / "run"
    trainer = Trainer.start(data, out)
    started = time.monotonic()
    digest = trainer.finish()
    return digest, epochs_of(out), time.monotonic() - started


def epochs_of(out: Path) -> list[str]:
    """The rows of history.csv without the seconds they took."""
    rows = list(csv.reader((out / "history.csv").read_text(encoding="utf-8").splitlines()))
    return [",".join(row[:-1]) for row in rows]


def whole_rows(out: Path) -> int:
    path = out / "history.csv"
    return path.read_bytes().count(b"\n") - 1 if path.is_file() and path.stat().st_size else 0


def test_a_killed_run_ends_with_the_weights_of_the_undisturbed_one(
    data: Path, whole: tuple[str, list[str], float], tmp_path: Path, record_testsuite_property
) -> None:
    digest, history, seconds = whole
    draw = random.Random(7)
    kills, runs, lost, out = 0, 0, 0, tmp_path / "run-0"
    while kills < KILLS or out.exists():
        trainer = Trainer.start(data, out)
        fresh, started = not (out / "config.yaml").exists(), time.monotonic()
        if kills < KILLS and trainer.killed_after(draw.uniform(0, 0.7 * seconds)):
            kills += 1
            saved = checkpoint.load(out / "checkpoint").schedule.epoch if checkpoint.exists(out / "checkpoint") else 0
            finished = max(0, whole_rows(out))
            if not (out / "manifest.json").exists():
                assert saved <= finished <= saved + 1
                lost += finished - saved
        else:
            assert trainer.finish() == digest
            if fresh:  # the first measurement may have been taken in a slow moment
                seconds = min(seconds, time.monotonic() - started)
            assert epochs_of(out) == history
            assert [path.name for path in out.iterdir() if path.name.startswith(".")] == [".lock"]
            assert not (out / "checkpoint").exists()
            runs += 1
            print(f"run {runs}: the same weights after {kills} kills so far", flush=True)
            out = tmp_path / f"run-{runs}"
    assert kills == KILLS
    print(f"{kills} kills in {runs} runs, each ended with the undisturbed weights; {lost} ended epochs trained again")


def test_a_second_trainer_refuses_and_names_the_first(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    first = Trainer.start(data, out)
    while not (out / "config.yaml").exists():
        assert first.process.poll() is None
        time.sleep(0.01)
    first.process.send_signal(19)  # SIGSTOP: it holds the folder for as long as we look
    second = Trainer.start(data, out)
    _, error = second.process.communicate(timeout=300)
    assert second.process.returncode != 0
    assert f"in use by process {first.process.pid}" in error
    assert first.killed_after(0)
