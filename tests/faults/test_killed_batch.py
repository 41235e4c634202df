"""`covid-xray predict` killed with SIGKILL and resumed: one row for each file, the bytes of an undisturbed run.

300 files and three kills by default; `COVID_XRAY_BATCH_KILLS=20` is the long version over 2,000 files.
"""

import csv
import io
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from covid_xray.files import sha256_file
from support.bundles import GREYS, grey, make_bundle
from support.drawing import chunk, png

KILLS = int(os.environ.get("COVID_XRAY_BATCH_KILLS", "3"))
FILES = 2000 if KILLS >= 20 else 300
pytestmark = pytest.mark.timeout(900 + 20 * KILLS)


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


def poisoned(root: Path, *, hook: str) -> dict[str, str]:
    """Six films in root/films, the fourth with a mark in its bytes; the environment of processes that run `hook`."""
    (root / "sitecustomize.py").write_text(hook)
    (root / "films").mkdir()
    for number in range(6):
        data = png(grey("covid", height=24, width=24, seed=number))
        marked = data[:-12] + chunk(b"tEXt", b"k\0POISON") + data[-12:]
        (root / "films" / f"{number}.png").write_bytes(marked if number == 3 else data)
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])}


def predict(root: Path, *options: str, environment: dict[str, str]) -> subprocess.CompletedProcess[bytes]:
    if not (root / "bundle").exists():
        make_bundle(root / "bundle")
    command = [sys.executable, "-m", "covid_xray", "predict", root / "films", "-o", root / "out", *options]
    return subprocess.run(
        [str(part) for part in [*command, "--bundle", root / "bundle"]],
        env=environment,
        capture_output=True,
        timeout=170,
        check=False,
    )


def errors(root: Path) -> list[str]:
    text = (root / "out" / "predictions.csv").read_text()
    found = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [Path(row["image"]).name for row in found] == [f"{number}.png" for number in range(len(found))]
    return [f"{row['error']} {row['reasons']}" if row["error"] else "" for row in found]


# A decoder that dies of one mark in the bytes, as one with a hole would.
DEADLY_DECODER = """
import os, PIL.Image as I
whole = I.open
def dies(stream, *a, **k):
    if b'POISON' in stream.getvalue(): os.abort()
    return whole(stream, *a, **k)
I.open = dies
"""
# The command itself is killed while it writes the picture of one image, half of it on disk.
DEADLY_PICTURE = """
import os, PIL.Image as I
whole = I.Image.save
def dies(self, where, *a, **k):
    if '-3-' in os.path.basename(str(where)):
        open(where, 'wb').write(b'half')
        os.kill(os.getpid(), 9)
    return whole(self, where, *a, **k)
I.Image.save = dies
"""


def test_a_poison_file_fails_and_the_others_are_answered(tmp_path: Path) -> None:
    ran = predict(tmp_path, "--untrusted", environment=poisoned(tmp_path, hook=DEADLY_DECODER))
    assert ran.returncode == 4, ran.stderr.decode()
    found = errors(tmp_path)
    assert found[3].startswith("decode-crashed")
    assert "in 3 of 3 tries" in found[3]
    assert found[:3] + found[4:] == [""] * 5


def test_a_poison_file_stops_a_trusting_command_once(tmp_path: Path) -> None:
    """Without --untrusted the command dies; resumed, it decodes what was under way in children."""
    environment = poisoned(tmp_path, hook=DEADLY_DECODER)
    assert predict(tmp_path, environment=environment).returncode == -signal.SIGABRT
    ran = predict(tmp_path, "--resume", environment=environment)
    assert ran.returncode == 4, ran.stderr.decode()
    found = errors(tmp_path)
    assert found[3].startswith("decode-crashed")
    assert found[:3] + found[4:] == [""] * 5
    assert not [path for path in (tmp_path / "out").iterdir() if path.name.startswith(".")]


def test_an_image_at_which_the_command_dies_is_given_up_and_no_other(tmp_path: Path) -> None:
    environment = poisoned(tmp_path, hook=DEADLY_PICTURE)
    for _ in range(3):
        ran = predict(tmp_path, "--heatmap", "--resume", environment=environment)
        assert ran.returncode == -signal.SIGKILL, ran.stderr.decode()
        litter = [path.name for path in (tmp_path / "out" / "heatmaps").glob(".partial-*")]
        assert len(litter) == 1, "what this run left; that of the run before is gone"
    ran = predict(tmp_path, "--heatmap", "--resume", environment=environment)
    assert ran.returncode == 4, ran.stderr.decode()
    found = errors(tmp_path)
    assert found[3].startswith("gave-up")
    assert "3 runs" in found[3]
    assert found[:3] + found[4:] == [""] * 5
    pictures = sorted(path.name for path in (tmp_path / "out" / "heatmaps").iterdir())
    assert [name[:2] for name in pictures] == ["0-", "1-", "2-", "4-", "5-"]
