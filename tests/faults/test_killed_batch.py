"""`covid-xray predict` killed with SIGKILL and resumed: one row for each file, the bytes of an undisturbed run.

300 files and three kills by default; `COVID_XRAY_BATCH_KILLS=20` is the long version over 2,000 files.
"""

import csv
import io
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from bundles import GREYS, grey, make_bundle
from covid_xray.files import sha256_file
from drawing import chunk, png

KILLS = int(os.environ.get("COVID_XRAY_BATCH_KILLS", "3"))
FILES = 2000 if KILLS >= 20 else 300
pytestmark = pytest.mark.timeout(180 + 20 * KILLS)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    labels = sorted(GREYS)
    for number in range(FILES):
        data = b"no image" if number % 97 == 5 else png(grey(labels[number % 3], height=24, width=24, seed=number))
        (folder / f"{number:04}.png").write_bytes(data)
    return folder


def start(images: Path, bundle: Path, out: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "covid_xray", "predict", images, "-o", out, "--bundle", bundle, "--resume"]
    return subprocess.Popen([str(part) for part in command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def rows(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.is_file() else 0


def kill_at(process: subprocess.Popen[bytes], path: Path, *, row: int) -> None:
    """Kill it when the file has so many lines."""
    while rows(path) < row:
        assert process.poll() is None, process.communicate()[1].decode()
    process.kill()
    process.communicate()


def test_every_file_has_one_row_however_often_it_is_killed(images: Path, tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "bundle")
    whole, torn = (tmp_path / name / "predictions.csv" for name in ("whole", "torn"))
    process = start(images, bundle, whole.parent)
    assert process.communicate(timeout=300)[1]  # some files are no images, and are named
    assert process.returncode == 4
    draw = random.Random(5)
    places = sorted(draw.sample(range(1, FILES - 20), KILLS))
    for place in places:
        kill_at(start(images, bundle, torn.parent), torn, row=max(place, rows(torn) + 1))
    last = start(images, bundle, torn.parent)
    last.communicate(timeout=300)
    assert last.returncode == 4
    found = list(csv.DictReader(io.StringIO(torn.read_text(encoding="utf-8"), newline="")))
    assert len(found) == FILES
    assert len({row["image"] for row in found}) == FILES
    assert sha256_file(torn) == sha256_file(whole)
    print(f"{KILLS} kills over {FILES} files: {len(found)} rows, none twice, SHA-256 of the undisturbed run")


def test_a_poison_file_fails_and_the_others_are_answered(tmp_path: Path) -> None:
    """A file that crashes its decoder; stood in for by a decoder that dies of one mark in the bytes."""
    (tmp_path / "sitecustomize.py").write_text(
        "import os, PIL.Image as I\n"
        "whole = I.open\n"
        "def dies(stream, *a, **k):\n"
        "    if b'POISON' in stream.getvalue(): os.abort()\n"
        "    return whole(stream, *a, **k)\n"
        "I.open = dies\n"
    )
    films = tmp_path / "films"
    films.mkdir()
    for number in range(6):
        data = png(grey("covid", height=24, width=24, seed=number))
        (films / f"{number}.png").write_bytes(
            data[:-12] + chunk(b"tEXt", b"k\0POISON") + data[-12:] if number == 3 else data
        )
    command = [sys.executable, "-m", "covid_xray", "predict", films, "-o", tmp_path / "out", "--untrusted", "--bundle"]
    ran = subprocess.run(
        [str(part) for part in [*command, make_bundle(tmp_path / "bundle")]],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 4, ran.stderr.decode()
    found = list(csv.DictReader(io.StringIO((tmp_path / "out" / "predictions.csv").read_text(), newline="")))
    assert [row["error"] for row in found] == ["", "", "", "decode-crashed", "", ""]
