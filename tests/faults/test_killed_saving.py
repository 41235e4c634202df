"""A process killed while it saves a checkpoint, a bundle or a file leaves the last whole one, and no litter for long.

Twelve kills of each kind by default; `COVID_XRAY_SAVE_KILLS=200` is the long version.
"""

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from saver import SIZE

from covid_xray import partial
from covid_xray.bundle.bundle import load_bundle
from covid_xray.training import checkpoint
from support import bundles

KILLS = int(os.environ.get("COVID_XRAY_SAVE_KILLS", "12"))
pytestmark = pytest.mark.timeout(900 + 5 * KILLS)


def read(kind: str, folder: Path) -> int:
    """The number that was saved last, after looking at every byte of it."""
    if kind == "checkpoint":
        loaded = checkpoint.load(folder / "checkpoint")
        assert loaded.skipped == ()
        numbers = {float(value) for array in (*loaded.variables, *loaded.best) for value in set(array.tolist())}
        assert numbers == {float(loaded.schedule.epoch)}
        return loaded.schedule.epoch
    if kind == "bundle":
        return int(load_bundle(folder / "bundle").version)
    lines = (folder / "file.txt").read_text().splitlines()
    assert len(lines) == SIZE
    (number,) = set(lines)
    return int(number)


def killed_while_saving(kind: str, folder: Path, first: int, *, after: float) -> int:
    """The last number that the process said was saved; it saved two at least before the clock of the kill began."""
    script = Path(__file__).with_name("saver.py")
    command = [sys.executable, str(script), kind, str(folder), str(first)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stderr
        said = [process.stdout.readline(), process.stdout.readline()]
        assert said[1], process.stderr.read()
        time.sleep(after)
        process.kill()
        said += process.stdout.read().splitlines()
    return int([line for line in said if line][-1])


@pytest.mark.parametrize("kind", ["checkpoint", "bundle", "file"])
def test_whatever_moment_it_is_killed_at_one_whole_generation_is_there(kind: str, tmp_path: Path) -> None:
    (tmp_path / "network.onnx").write_bytes(bundles.network())
    draw, number, torn = random.Random(kind), 0, 0
    for _ in range(KILLS):
        said = killed_while_saving(kind, tmp_path, number + 1, after=draw.uniform(0, 0.03))
        torn += len(list(tmp_path.rglob(".partial-*"))) > 0
        number = read(kind, tmp_path)
        assert said <= number <= said + 1, "what was said to be saved is there"
    assert torn > KILLS // 10, "expected kills in the middle of saving"
    for folder in (tmp_path, tmp_path / "checkpoint"):
        partial.clear(folder)
    assert not list(tmp_path.rglob(".partial-*"))
    print(f"{kind}: {KILLS} kills, {torn} in the middle of saving, 0 unreadable")
