"""`covid-xray pacs serve` killed with SIGKILL while objects come, a peer that is away, a disk that is full.

Every object that got Success has its results in a real Orthanc in the end, each once. Two kills by default;
`COVID_XRAY_NODE_KILLS=20` is the long version. `COVID_XRAY_NODE_DOWN=60`: seconds for which the peer is away.
"""

import contextlib
import gc
import io
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pynetdicom
import pytest

from support import nodes, orthanc, studies
from support.chests import chest

KILLS = int(os.environ.get("COVID_XRAY_NODE_KILLS", "2"))
DOWN = float(os.environ.get("COVID_XRAY_NODE_DOWN", "2"))
PAUSE = 0.05 if KILLS > 5 else 0.4  # seconds between objects of a sender
PIXELS = chest(height=96, width=80, body=255, lung=85)
pytestmark = [
    pytest.mark.timeout(900 + 60 * KILLS + DOWN),
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),  # pynetdicom, when nobody is there
]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return studies.make_lung_bundle(tmp_path_factory.mktemp("bundle") / "bundle")


@pytest.fixture(autouse=True)
def _programs() -> Iterator[None]:
    if not orthanc.installed():
        pytest.skip(orthanc.MISSING)
    studies.require("storescu")
    yield
    gc.collect()  # sockets that pynetdicom left open go now, where nobody minds


class Sender(threading.Thread):
    """A modality that sends on and on, starts anew when the node dies, and notes what got Success."""

    def __init__(self, port: int, first: int) -> None:
        super().__init__()
        self.port, self.number, self.confirmed, self.stop = port, first, set[str](), threading.Event()

    def run(self) -> None:
        while not self.stop.is_set():
            entity = pynetdicom.AE(ae_title=nodes.CALLER)
            entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = entity.connection_timeout = 20
            entity.add_requested_context(studies.DX)
            association = entity.associate("127.0.0.1", self.port, ae_title="COVIDXRAY")
            if association.is_established:
                self._send(association)
            self.stop.wait(0.1)

    def _send(self, association: pynetdicom.association.Association) -> None:
        while not self.stop.is_set() and association.is_established:
            one = pydicom.dcmread(io.BytesIO(studies.film(PIXELS, number=self.number, study=self.number)))
            with contextlib.suppress(RuntimeError, ValueError):
                if association.send_c_store(one).get("Status") == 0:
                    self.confirmed.add(str(one.SOPInstanceUID))
                    self.number += 1
            self.stop.wait(PAUSE)
        if association.is_established:
            association.release()


def identities(node: nodes.Node) -> set[str]:
    """Of all arrivals that were ever committed, and of their results."""
    with contextlib.closing(sqlite3.connect(node.folder / "store" / "studies.sqlite")) as connection:
        ids = [row[0] for row in connection.execute("SELECT id FROM arrivals")]
    return {f"{one}{kind}" for one in ids for kind in ("", "-sc", "-sr", "-seg", "-gsps")}


def results(archive: orthanc.Orthanc) -> dict[str, list[str]]:
    """Modalities of the results by the SOP Instance UID of their original."""
    found: dict[str, list[str]] = {}
    for instance in archive.instances():
        one = pydicom.dcmread(io.BytesIO(archive.file(instance)), stop_before_pixels=True)
        for original in _originals(one):
            found.setdefault(original, []).append(str(one.Modality))
    return found


def _originals(one: pydicom.Dataset) -> set[str]:
    found = {str(element.value) for element in one.iterall() if element.keyword == "ReferencedSOPInstanceUID"}
    return {uid for uid in found if uid.startswith("1.2.826.0.1.3680043.10.1.")}


def test_every_object_that_got_success_has_its_results_after_kills(bundle: Path, tmp_path: Path) -> None:
    draw = random.Random(0)
    with orthanc.running(tmp_path / "orthanc") as archive:
        peer = {"host": "127.0.0.1", "port": archive.dicom, "ae_title": "ORTHANC"}
        settings = {"peers": {"archive": peer}, "send_to": ["archive"], "share": 0.3, "study_quiet_seconds": 0}
        with nodes.running(tmp_path / "node", bundle, **settings) as node:
            senders = [Sender(node.port, 1 + 100_000 * number) for number in range(2)]
            for sender in senders:
                sender.start()
            for _ in range(KILLS):
                time.sleep(draw.uniform(0.5, 4))
                node.stop(signal.SIGKILL)
                node.start()
            for sender in senders:
                sender.stop.set()
            for sender in senders:
                sender.join()
            confirmed = set().union(*(sender.confirmed for sender in senders))
            node.until(node.idle, seconds=60 + 2 * len(confirmed))
            counts, code, known = node.counts(), node.stop(), identities(node)
        found = results(archive)
    assert len(confirmed) >= KILLS
    assert confirmed <= found.keys()
    assert all(sorted(kinds) == ["OT", "SEG", "SR"] for kinds in found.values())
    assert set(counts) == {"arrivals answered", "deliveries sent"}
    assert code == 0
    # What came in when the node died and was never confirmed goes five minutes later, lest it be on its way.
    left = {path.name.partition(".")[0] for path in (tmp_path / "node" / "store" / "pacs").glob("*.dcm")}
    assert not left & known
    images = len(list((tmp_path / "node" / "store" / "images").glob("*.png")))
    assert images == counts["arrivals answered"]
    print(f"\n{KILLS} kills: {len(confirmed)} objects got Success, {len(found)} have their 3 results, {images} images")


def test_a_peer_that_is_away_gets_all_when_it_is_back(bundle: Path, tmp_path: Path) -> None:
    dicom, http = orthanc.free_port(), orthanc.free_port()
    peer = {"host": "127.0.0.1", "port": dicom, "ae_title": "ORTHANC"}
    settings = {"peers": {"archive": peer}, "send_to": ["archive"], "share": 0.3, "study_quiet_seconds": 0}
    (tmp_path / "sent").mkdir()
    with nodes.running(tmp_path / "node", bundle, **settings) as node:
        for number in range(4):
            (tmp_path / "sent" / f"{number}.dcm").write_bytes(studies.film(PIXELS, number=number + 1, study=number + 1))
        assert nodes.stored(node, sorted((tmp_path / "sent").iterdir())).returncode == 0
        node.until(lambda: node.counts().get("arrivals answered") == 4)
        time.sleep(DOWN)
        assert node.counts() == {"arrivals answered": 4, "deliveries waiting": 12}
        with orthanc.running(tmp_path / "orthanc", dicom=dicom, http=http) as archive:
            back = time.monotonic()
            node.until(node.idle)
            took = time.monotonic() - back
            assert archive.by_class() == {"OT": 4, "SR": 4, "SEG": 4}
        assert node.log.count("peer archive: no-association") == 1  # a line when it began, not one for each try
        assert "peer archive: works again" in node.log
    print(f"\npeer away for {DOWN:.0f} s: 12 of 12 results there {took:.1f} s after it came back")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", str(folder)]
    if not shutil.which("mount") or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("a small disk cannot be mounted here: that needs root and leave to mount")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("reserve", [0, 4 << 20])
def test_a_full_disk_is_out_of_resources_and_loses_nothing(
    reserve: int, bundle: Path, small_disk: Path, tmp_path: Path
) -> None:
    (tmp_path / "sent").mkdir()
    for n in range(20):  # 16 MB
        one = studies.film(chest(height=900, width=900, lung=30 + n), number=n + 1)
        (tmp_path / "sent" / f"{n:02}.dcm").write_bytes(one)
    with nodes.running(small_disk / "node", bundle, reserve_bytes=reserve) as node:
        ballast = small_disk / "ballast"
        ballast.write_bytes(bytes(5 << 20))
        said = nodes.stored(node, sorted((tmp_path / "sent").iterdir()))
        taken = (said.stdout + said.stderr).count("(Success)")
        assert 0 < taken < 20
        ballast.unlink()  # somebody makes room
        node.until(lambda: not node.counts().get("arrivals waiting"))
        counts = node.counts()
        assert set(counts) == {"arrivals answered"}
        assert counts["arrivals answered"] >= taken
        assert len(list((small_disk / "node" / "store" / "images").glob("*.png"))) == counts["arrivals answered"]
        again = nodes.stored(node, sorted((tmp_path / "sent").iterdir())[:taken])
        assert (again.stdout + again.stderr).count("(Success)") == taken
    print(f"\nfull disk, {reserve >> 20} MiB reserved: {taken} of 20 got Success, all of them answered in the end")
