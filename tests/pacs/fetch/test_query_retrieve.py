"""Pulls without DICOMweb: from Orthanc and from dcmtk's dcmqrscp, by C-GET and by C-MOVE."""

import contextlib
import subprocess
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pydicom
import pynetdicom
import pytest
from pynetdicom import evt

from covid_xray.inference.predictor import Predictor
from covid_xray.pacs.fetch.pull import pull
from covid_xray.pacs.fetch.selection import PullReport, StudySelection
from covid_xray.pacs.settings import Pacs
from covid_xray.pacs.store_scp import StoreScp
from covid_xray.pacs.store_scu import PeerFailed
from covid_xray.pacs.work_queue import PULLED, WorkQueue
from covid_xray.store.store import open_database
from support import orthanc, services, studies
from support.chests import chest
from support.orthanc import free_port

PIXELS = chest(height=64, width=64, body=255, lung=85)
FILMS = [
    studies.film(PIXELS, study=1, StudyDate="20200101"),
    studies.film(PIXELS, study=2, StudyDate="20261126"),
    studies.film(PIXELS, study=2, number=2, StudyDate="20261126", SOPClassUID=studies.CR, SeriesInstanceUID="1.2.3.9"),
    studies.film(
        PIXELS, study=2, number=3, StudyDate="20261126", SOPClassUID="1.2.840.10008.5.1.4.1.1.7", Modality="OT",
        SeriesInstanceUID="1.2.3.8",
    ),
]  # fmt: skip
RECENT = StudySelection(since=date(2026, 1, 1))


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return Predictor(studies.make_lung_bundle(tmp_path_factory.mktemp("b") / "bundle"))


def settings(folder: Path, port: int, **peer: Any) -> Pacs:
    archive = {"host": "127.0.0.1", "port": port, "ae_title": "ARCHIVE", **peer}
    return Pacs.model_validate({**services.KNOWN, "store": folder / "store", "peers": {"archive": archive}})


def counted(report: PullReport) -> tuple[int, int, int, int]:
    return report.taken, report.known, report.answered, len(report.failures)


@contextlib.contextmanager
def dcmqrscp(folder: Path, node: int) -> Iterator[int]:
    """An archive of dcmtk with the films; it knows the node as COVIDXRAY at a port."""
    studies.require("dcmqrscp", "storescu")
    (folder / "db").mkdir(parents=True)
    config, port = folder / "dcmqrscp.cfg", free_port()
    config.write_text(
        f"NetworkTCPPort = {port}\nMaxPDUSize = 16384\nMaxAssociations = 16\n"
        f"HostTable BEGIN\nnode = (COVIDXRAY, 127.0.0.1, {node})\nHostTable END\nVendorTable BEGIN\nVendorTable END\n"
        f"AETable BEGIN\nARCHIVE {folder / 'db'} RW (200, 1024mb) ANY\nAETable END\n"
    )
    files = [folder / f"{number}.dcm" for number in range(len(FILMS))]
    for path, data in zip(files, FILMS, strict=True):
        path.write_bytes(data)
    with subprocess.Popen(["dcmqrscp", "-c", str(config)]) as archive:
        try:
            for _ in range(200):
                command = ["storescu", "-R", "-aec", "ARCHIVE", "127.0.0.1", str(port), *map(str, files)]
                if subprocess.run(command, capture_output=True, check=False).returncode == 0:
                    break
                time.sleep(0.1)
            yield port
        finally:
            archive.terminate()


@pytest.mark.parametrize("way", ["get", "move"])
def test_dcmtk_is_pulled_from_by_date_and_by_uid(way: str, tmp_path: Path, predictor: Predictor) -> None:
    own = free_port()
    with dcmqrscp(tmp_path / "archive", own) as port:
        known = settings(tmp_path, port, retrieve=way).model_copy(update={"port": own})
        assert counted(pull(known, lambda: predictor, "archive", RECENT)) == (2, 0, 2, 0)
        assert counted(pull(known, lambda: predictor, "archive", StudySelection((uid(FILMS[0]),)))) == (1, 0, 1, 0)
        again = pull(known, lambda: predictor, "archive", StudySelection((uid(FILMS[0]),)))
        assert counted(again) == ((0, 1, 0, 0) if way == "get" else (1, 0, 0, 0))  # C-MOVE does not say
        with contextlib.closing(open_database(known.serving())) as database:
            assert WorkQueue(database).count_states() == {"arrivals answered": 3}


@pytest.mark.parametrize("way", ["get", "move"])
def test_orthanc_is_pulled_from_beside_a_running_node(way: str, tmp_path: Path, predictor: Predictor) -> None:
    if not orthanc.installed():
        pytest.skip(orthanc.MISSING)
    own = free_port()
    with orthanc.running(
        tmp_path / "orthanc", modalities={"node": ["COVIDXRAY", "127.0.0.1", own]}, DicomAlwaysAllowGet=True
    ) as archive:
        for data in FILMS:
            archive.upload(data)
        known = settings(tmp_path, archive.dicom, retrieve=way, ae_title="ORTHANC")
        extra = {"port": own, "callers": ["ORTHANC"], "peers": known.model_dump()["peers"]}
        with services.opened(tmp_path, predictor, **extra) as parts:
            node = StoreScp(parts.settings, parts.receiver, limits=predictor.limits)
            with node.listening():
                report = pull(parts.settings, lambda: predictor, "archive", RECENT)
            assert (report.taken, len(report.failures)) == (2, 0)
            assert "running node" in report.remark
            waiting = parts.queue.claim(limit=9)
            assert [one.priority for one in waiting] == [PULLED, PULLED]  # what is sent meanwhile comes first


def uid(data: bytes) -> str:
    import io

    return str(pydicom.dcmread(io.BytesIO(data)).StudyInstanceUID)


@contextlib.contextmanager
def odd_archive(find: Any) -> Iterator[int]:
    entity = pynetdicom.AE(ae_title="ARCHIVE")
    for number in (1, 3):
        entity.add_supported_context(f"1.2.840.10008.5.1.4.1.2.2.{number}")
    server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_FIND, find)])
    try:
        yield server.socket.getsockname()[1]
    finally:
        server.shutdown()


def refuses(_: Any) -> Iterator[tuple[int, None]]:
    yield 0xA700, None


def invents(event: Any) -> Iterator[tuple[int, pydicom.Dataset]]:
    made = pydicom.Dataset()
    made.QueryRetrieveLevel = event.identifier.QueryRetrieveLevel
    with pydicom.config.disable_value_validation():
        made.StudyInstanceUID = "../../CANARY"
        made.StudyDate = "20261126"
    yield 0xFF00, made


@pytest.mark.parametrize("find", [refuses, invents])
def test_an_archive_that_answers_nonsense_is_said_and_not_repeated(
    find: Any, tmp_path: Path, predictor: Predictor
) -> None:
    with odd_archive(find) as port, pytest.raises(PeerFailed) as failure:
        pull(settings(tmp_path, port), lambda: predictor, "archive", RECENT)
    assert "CANARY" not in str(failure.value)


def test_an_archive_that_is_not_there_is_said(tmp_path: Path, predictor: Predictor) -> None:
    with pytest.raises(PeerFailed, match="No association"):
        pull(settings(tmp_path, free_port()), lambda: predictor, "archive", RECENT)
