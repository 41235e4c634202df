"""An archive confirms that it keeps the results: at once, later by itself, not at all, or not all of them."""

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pynetdicom
import pytest
from pydicom.dataset import Dataset
from pynetdicom import build_role, evt

from covid_xray.inference.predictor import Predictor
from covid_xray.pacs.commitment import COMMITMENT
from covid_xray.pacs.service import NodeServices
from covid_xray.pacs.store_scp import StoreScp
from support import orthanc, services, studies
from support.chests import chest
from support.orthanc import free_port

PIXELS = chest(height=64, width=64, body=255, lung=85)
PLAIN = "1.2.840.10008.5.1.4.1.1.88.33"  # Comprehensive SR
INSTANCE = "1.2.840.10008.1.20.1.1"


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return Predictor(studies.make_lung_bundle(tmp_path_factory.mktemp("b") / "bundle"))


class Archive:
    """An archive that keeps all but the classes of `lost`, and remembers what it was asked to keep."""

    def __init__(self, *, lost: tuple[str, ...] = (), status: int = 0, without: str = "") -> None:
        self.lost, self.status, self.without, self.asked = lost, status, without, threading.Event()
        self.stored: set[tuple[str, str]] = set()
        self.request = Dataset()

    def take_request(self, event: Any) -> tuple[int, None]:
        self.request = event.action_information
        self.asked.set()
        return self.status, None

    def store(self, event: Any) -> int:
        self.stored.add((event.request.AffectedSOPClassUID, event.request.AffectedSOPInstanceUID))
        return 0

    def report(self) -> Dataset:
        made = Dataset()
        made.TransactionUID = self.request.TransactionUID
        items = [*self.request.ReferencedSOPSequence]
        made.ReferencedSOPSequence = [one for one in items if one.ReferencedSOPClassUID not in self.lost]
        if self.lost:
            made.FailedSOPSequence = [one for one in items if one.ReferencedSOPClassUID in self.lost]
            for one in made.FailedSOPSequence:
                one.FailureReason = 0x0112
        return made

    def send_report(self, port: int) -> int:
        """Open an association to the node, as the provider, and report."""
        entity = pynetdicom.AE(ae_title="ARCHIVE")
        entity.add_requested_context(COMMITMENT)
        role = build_role(COMMITMENT, scp_role=True)
        association = entity.associate("127.0.0.1", port, ae_title="COVIDXRAY", ext_neg=[role])
        assert association.is_established
        kind = 2 if self.lost else 1
        status, _ = association.send_n_event_report(self.report(), kind, COMMITMENT, INSTANCE)
        association.release()
        return int(status.Status)

    @contextlib.contextmanager
    def listening(self, *, supports: bool = True) -> Iterator[int]:
        entity = pynetdicom.AE(ae_title="ARCHIVE")
        for uid in {*studies.RESULT_CLASSES} - {self.without}:
            entity.add_supported_context(uid)
        if supports:
            entity.add_supported_context(COMMITMENT)
        handlers = [(evt.EVT_C_STORE, self.store), (evt.EVT_N_ACTION, self.take_request)]
        server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
        try:
            yield server.socket.getsockname()[1]
        finally:
            server.shutdown()


@contextlib.contextmanager
def answered(folder: Path, predictor: Predictor, port: int, **peer: Any) -> Iterator[NodeServices]:
    archive = {"host": "127.0.0.1", "port": port, "ae_title": "ARCHIVE", "commitment": True, **peer}
    with services.opened(folder, predictor, peers={"archive": archive}, send_to=["archive"]) as parts:
        parts.receiver.receive(services.incoming(parts, studies.film(PIXELS)), origin="A")
        parts.classify_all()
        yield parts


def files(parts: NodeServices) -> int:
    return len(list(parts.spool.folder.glob("*-*.dcm")))


def test_a_result_is_sent_when_the_archive_says_later_that_it_keeps_it(tmp_path: Path, predictor: Predictor) -> None:
    archive = Archive(lost=("1.2.840.10008.5.1.4.1.1.66.4",))
    with archive.listening() as port, answered(tmp_path, predictor, port) as parts:
        parts.send_all()
        assert len(archive.request.ReferencedSOPSequence) == 3
        assert parts.queue.count_states() == {"arrivals answered": 1, "deliveries uncommitted": 3}
        assert files(parts) == 3
        node = StoreScp(parts.settings, parts.receiver, limits=predictor.limits)
        with node.listening() as own:  # the archive may report though it is not one of the callers
            assert archive.send_report(own) == 0
        assert parts.queue.count_states() == {
            "arrivals answered": 1, "deliveries sent": 2, "deliveries waiting": 1,
        }  # fmt: skip
        assert files(parts) == 1  # what the archive lost is sent again


@pytest.mark.parametrize("lost", [(), (PLAIN,)])
def test_a_report_that_was_sent_as_a_plain_one_is_to_be_kept_under_its_own_uid(
    lost: tuple[str, ...], tmp_path: Path, predictor: Predictor
) -> None:
    archive = Archive(lost=lost, without="1.2.840.10008.5.1.4.1.1.88.34")
    with archive.listening() as port, answered(tmp_path, predictor, port) as parts:
        parts.send_all()
        asked = [*archive.request.ReferencedSOPSequence]
        assert {(one.ReferencedSOPClassUID, one.ReferencedSOPInstanceUID) for one in asked} == archive.stored
        assert PLAIN in dict(archive.stored)
        with StoreScp(parts.settings, parts.receiver, limits=predictor.limits).listening() as own:
            assert archive.send_report(own) == 0
        assert parts.queue.count_states()["deliveries sent"] == 3 - len(lost)


def test_an_archive_without_the_service_or_one_that_refuses_is_tried_again(
    tmp_path: Path, predictor: Predictor, caplog: pytest.LogCaptureFixture
) -> None:
    for number, (archive, supports) in enumerate(((Archive(), False), (Archive(status=0x0110), True))):
        with (
            archive.listening(supports=supports) as port,
            answered(tmp_path / str(number), predictor, port) as parts,
        ):
            parts.forwarders[0].forward_due()
            assert parts.queue.count_states() == {"arrivals answered": 1, "deliveries waiting": 3}
            assert files(parts) == 3
            assert "no-commitment" in caplog.text
            caplog.clear()


def test_orthanc_confirms(tmp_path: Path, predictor: Predictor) -> None:
    if not orthanc.installed():
        pytest.skip(orthanc.MISSING)
    own = free_port()
    node_of_archive = {"AET": "COVIDXRAY", "Host": "127.0.0.1", "Port": own, "AllowStorageCommitment": True}
    with (
        orthanc.running(tmp_path / "orthanc", modalities={"node": node_of_archive}) as archive,
        answered(tmp_path, predictor, archive.dicom, ae_title="ORTHANC") as parts,
        StoreScp(parts.settings.model_copy(update={"port": own}), parts.receiver, limits=predictor.limits).listening(),
    ):
        parts.send_all()
        for _ in range(300):
            if parts.queue.count_states().get("deliveries sent") == 3:
                break
            threading.Event().wait(0.1)
        assert parts.queue.count_states() == {"arrivals answered": 1, "deliveries sent": 3}
        assert files(parts) == 0
        assert archive.by_class() == {"OT": 1, "SR": 1, "SEG": 1}
