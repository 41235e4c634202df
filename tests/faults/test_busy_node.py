"""`covid-xray pacs serve` under load: many associations, the same objects again and again, names in every tag.

100 objects over 10 associations by default; `COVID_XRAY_NODE_OBJECTS=5000` is the long version, which also sends a
tenth of them five times.
"""

import io
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pydicom
import pytest

from covid_xray.images.phantoms import phantom
from support import nodes, orthanc, studies
from support.bundles import make_bundle

OBJECTS = int(os.environ.get("COVID_XRAY_NODE_OBJECTS", "100"))
ASSOCIATIONS, TIMES = 10, 5
SIZE = 64 if OBJECTS < 1000 else 256
pytestmark = pytest.mark.timeout(900 + OBJECTS)


@pytest.fixture(autouse=True)
def _programs() -> None:
    studies.require("storescu")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("bundle") / "bundle")


def drawn(folder: Path, count: int) -> list[Path]:
    """Files of one drawn chest under `count` SOP Instance UIDs, in `ASSOCIATIONS` folders."""
    import numpy as np

    pixels = phantom.draw(phantom.draw_anatomy(np.random.default_rng(0)), size=SIZE).pixels
    data = studies.film(pixels, number=9_000_000)
    folders = [folder / str(number) for number in range(ASSOCIATIONS)]
    for number in range(count):
        part = folders[number % ASSOCIATIONS]
        part.mkdir(parents=True, exist_ok=True)
        uid = f".{9_000_001 + number}".encode()
        (part / f"{number}.dcm").write_bytes(data.replace(b".9000000", uid))
    return folders


def send(node: nodes.Node, folders: list[Path]) -> tuple[float, int]:
    """All folders at once, one association each; seconds, and how many objects got Success."""
    started = time.monotonic()
    with ThreadPoolExecutor(ASSOCIATIONS) as pool:
        ran = list(pool.map(lambda folder: nodes.stored(node, sorted(folder.iterdir())), folders))
    taken = sum((one.stdout + one.stderr).count("(Success)") for one in ran)
    return time.monotonic() - started, taken


def rows(node: nodes.Node) -> int:
    import sqlite3

    with sqlite3.connect(node.folder / "store" / "studies.sqlite") as connection:
        return int(connection.execute("SELECT count(*) FROM studies").fetchone()[0])


def test_each_object_is_a_row_and_the_same_ones_again_are_no_more(bundle: Path, tmp_path: Path) -> None:
    folders = drawn(tmp_path / "sent", OBJECTS)
    again = drawn(tmp_path / "again", OBJECTS // 10)
    with nodes.running(tmp_path / "node", bundle) as node:
        started = time.monotonic()
        seconds, taken = send(node, folders)
        assert taken == OBJECTS
        node.until(lambda: not node.counts().get("arrivals waiting"), seconds=60 + OBJECTS)
        answered = time.monotonic()
        assert node.counts() == {"arrivals answered": OBJECTS}
        assert rows(node) == OBJECTS
        for _ in range(TIMES):
            assert send(node, again)[1] == OBJECTS // 10
        assert node.counts() == {"arrivals answered": OBJECTS}
        assert rows(node) == OBJECTS
        memory = int(Path(f"/proc/{node.process.pid}/status").read_text().split("VmHWM:")[1].split()[0]) // 1024
        assert node.stop() == 0
    print(
        f"\n{OBJECTS} objects of {SIZE} x {SIZE} over {ASSOCIATIONS} associations: {OBJECTS / seconds:.0f} a second "
        f"got Success, all answered after {answered - started:.0f} s; {OBJECTS // 10} of them sent {TIMES} times more: "
        f"{rows(node)} rows; peak {memory} MiB"
    )


def test_names_in_every_tag_are_in_no_log_and_no_file_name(bundle: Path, tmp_path: Path) -> None:
    sys.path.insert(0, str(Path(__file__).parent.parent / "hostile"))
    from test_privacy import SECRETS, full_of_names, spoilt

    with pydicom.config.disable_value_validation():
        whole = full_of_names(SOPInstanceUID="1.2.826.4711.815.42", PresentationIntentType="FOR PRESENTATION")
        frontal = pydicom.dcmread(io.BytesIO(whole))
        frontal.BodyPartExamined, frontal.ViewPosition = "CHEST", "PA"
        stream = io.BytesIO()
        frontal.save_as(stream, enforce_file_format=True)
    folder = tmp_path / "sent"
    folder.mkdir()
    for number, (_, data) in enumerate([("frontal", stream.getvalue()), *spoilt(whole)]):
        (folder / f"{number}.dcm").write_bytes(data)
    archive = {"host": "127.0.0.1", "port": orthanc.free_port(), "ae_title": "ARCHIVE"}  # and nobody there
    with nodes.running(tmp_path / "node", bundle, peers={"archive": archive}, send_to=["archive"]) as node:
        for path in sorted(folder.iterdir()):
            nodes.stored(node, [path])
        node.until(
            lambda: node.counts().get("arrivals answered", 0) >= 1 and "peer archive: no-association" in node.log
        )
        status = subprocess.run(
            [sys.executable, "-m", "covid_xray", "pacs", "status", "--config", str(node.config)],
            capture_output=True, check=True)  # fmt: skip
        node.stop()
    told = (tmp_path / "node" / "log.txt").read_bytes() + status.stdout + status.stderr
    assert b"refused" in told
    assert not [secret for secret in SECRETS if secret in told]
    named = "\n".join(str(path.relative_to(tmp_path / "node")) for path in (tmp_path / "node").rglob("*")).encode()
    assert not [secret for secret in SECRETS if secret in named]
