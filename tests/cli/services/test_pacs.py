"""The node against the real things: dcmtk sends, Orthanc receives, by DICOM and by DICOMweb."""

import io
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest

from covid_xray.inference.predictor import Predictor
from support import nodes, orthanc, services, studies
from support.chests import chest
from support.commands import run

PIXELS = chest(height=160, width=140, body=255, lung=85)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return studies.make_lung_bundle(tmp_path_factory.mktemp("bundle") / "bundle")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[orthanc.Orthanc]:
    if not orthanc.installed():
        pytest.skip(orthanc.MISSING)
    studies.require("storescu", "findscu", "echoscu", "dciodvfy")
    with orthanc.running(tmp_path_factory.mktemp("orthanc")) as running:
        yield running


@pytest.fixture(autouse=True)
def _empty(request: pytest.FixtureRequest) -> None:
    if "archive" in request.fixturenames:
        running = request.getfixturevalue("archive")
        for one in running.client.get("/patients").json():
            running.client.delete(f"/patients/{one}")


def files(folder: Path, *data: bytes) -> list[Path]:
    folder.mkdir(exist_ok=True)
    for number, one in enumerate(data):
        (folder / f"{number}.dcm").write_bytes(one)
    return sorted(folder.iterdir())


@pytest.mark.parametrize("way", ["dicom", "dicomweb"])
def test_what_is_sent_comes_back_as_results_in_its_study(
    way: str, archive: orthanc.Orthanc, bundle: Path, tmp_path: Path
) -> None:
    by_dicom = {"host": "127.0.0.1", "port": archive.dicom, "ae_title": "ORTHANC"}
    peer = by_dicom if way == "dicom" else {"dicomweb": archive.web}
    originals = [
        studies.film(PIXELS, number=n, study=1 + n % 2, SOPClassUID=(studies.CR, studies.DX)[n % 2]) for n in range(4)
    ]
    for one in originals:
        archive.upload(one)
    share = {"share": 0.3, "results": ["sc", "sr", "seg", "gsps"], "study_quiet_seconds": 15}
    with nodes.running(tmp_path / "node", bundle, peers={"archive": peer}, send_to=["archive"], **share) as node:
        assert nodes.stored(node, files(tmp_path / "sent", *originals)).returncode == 0
        node.until(lambda: node.counts().get("deliveries sent") == 14)
        assert node.counts() == {"arrivals answered": 4, "deliveries sent": 14}
        assert node.stop() == 0
    assert archive.by_class() == {"DX": 2, "CR": 2, "OT": 4, "SR": 2, "SEG": 4, "PR": 4}
    assert len(archive.client.get("/studies").json()) == 2
    for instance in archive.instances():
        data = archive.file(instance)
        if pydicom.dcmread(io.BytesIO(data)).Modality not in ("CR", "DX"):
            assert studies.errors_of(data, tmp_path) == []
    spool = [path.name for path in (tmp_path / "node" / "store" / "pacs").rglob("*") if path.is_file()]
    assert spool == [".lock"]  # nothing of the patients is left in the spool


def test_the_archive_sends_by_itself_and_finds_the_results(
    archive: orthanc.Orthanc, bundle: Path, tmp_path: Path
) -> None:
    """Auto-routing: the archive gives a study to the node, and a query finds the results in it."""
    peer = {"host": "127.0.0.1", "port": archive.dicom, "ae_title": "ORTHANC"}
    settings = {"peers": {"archive": peer}, "send_to": ["archive"], "callers": ["ORTHANC"], "share": 0.3}
    with nodes.running(tmp_path / "node", bundle, **settings) as node:
        where = {"AET": "COVIDXRAY", "Host": "127.0.0.1", "Port": node.port}
        archive.client.put("/modalities/covid-xray", json=where).raise_for_status()
        archive.upload(studies.film(PIXELS))
        study = archive.client.get("/studies").json()[0]
        archive.client.post("/modalities/covid-xray/store", content=study).raise_for_status()
        node.until(lambda: node.counts().get("deliveries sent") == 3)
        # Results that come back to the node are no radiographs: it keeps account of them and makes nothing new.
        archive.client.post("/modalities/covid-xray/store", content=study).raise_for_status()
        node.until(lambda: node.counts().get("arrivals no result") == 3)
        assert node.counts() == {"arrivals answered": 1, "arrivals no result": 3, "deliveries sent": 3}
    found = subprocess.run(
        ["findscu", "-v", "-S", "-aec", "ORTHANC", "-k", "QueryRetrieveLevel=SERIES", "-k", "SeriesDescription",
         "-k", f"StudyInstanceUID={pydicom.dcmread(io.BytesIO(studies.film(PIXELS))).StudyInstanceUID}",
         "127.0.0.1", str(archive.dicom)], capture_output=True, text=True, check=True)  # fmt: skip
    said = found.stdout + found.stderr
    assert all(f"covid-xray {title}: small 1" in said for title in ("heat map", "finding", "region"))


def test_studies_are_pulled_by_uid_and_by_date(
    archive: orthanc.Orthanc,
    bundle: Path,
    tmp_path: Path,
    capfdbinary: pytest.CaptureFixture[bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    old, new = studies.film(PIXELS, study=1, StudyDate="20200101"), studies.film(PIXELS, study=2, StudyDate="20261126")
    for one in (
        old,
        new,
        studies.film(PIXELS, study=2, number=2, SOPClassUID="1.2.840.10008.5.1.4.1.1.7", Modality="OT"),
    ):
        archive.upload(one)
    config = tmp_path / "node.json"
    settings = {
        "store": str(tmp_path / "store"),
        "peers": {"web": {"dicomweb": archive.web}},
        "send_to": ["web"],
        "share": 0.3,
    }
    config.write_text(json.dumps(settings))

    monkeypatch.setattr("covid_xray.cli.services.pacs._log", lambda _: None)  # the level of this process is its own

    def pull(*what: str) -> str:
        ran = run(capfdbinary, "pacs", "pull", "--peer", "web", "--config", config, "--bundle", bundle, *what)
        assert ran.code == 0, ran.err
        return ran.out.decode()

    assert pull("--since", "2026-01-01").startswith(
        "1 radiographs fetched, 0 known before, 1 classified, 0 results still"
    )
    assert archive.by_class() == {"DX": 2, "OT": 2, "SR": 1, "SEG": 1}
    assert pull("--study", "1.2.826.0.1.3680043.10.1.1").startswith("1 radiographs fetched")
    assert pull("--since", "2020-01-01").startswith("0 radiographs fetched, 2 known before")
    assert archive.by_class() == {"DX": 2, "OT": 3, "SR": 2, "SEG": 2}


def test_what_was_not_sent_is_listed_and_queued_again(
    tmp_path: Path, bundle: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    web = {"dicomweb": f"http://127.0.0.1:{orthanc.free_port()}/x"}
    peers = {"peers": {"web": web}, "send_to": ["web"], "give_up_hours": 1e-9}
    with services.opened(tmp_path, Predictor(bundle), **peers) as parts:
        parts.receiver.receive(services.incoming(parts, studies.film(PIXELS)), origin="MODALITY")
        parts.receiver.refusals.note("busy", "x", ae_title="MODALITY", address="10.0.0.7")
        parts.classify_all()
        parts.send_all()
    config = tmp_path / "node.json"
    config.write_text(json.dumps({"store": str(tmp_path / "store"), **peers}))

    def ask(*arguments: str) -> str:
        ran = run(capfdbinary, "pacs", *arguments, "--config", config)
        assert ran.code == 0, ran.err
        return ran.out.decode()

    status = json.loads(ask("status"))
    assert status["deliveries given up"] == 3
    (refusal,) = status["refusals"]
    assert (refusal["code"], refusal["ae_title"], refusal["address"]) == ("busy", "MODALITY", "10.0.0.7")
    listed = json.loads(ask("unsent"))
    assert {(one["kind"], one["peer"], one["code"]) for one in listed} == {
        (kind, "web", "no-answer") for kind in ("sc", "sr", "seg")
    }
    assert all(Path(one["file"]).is_file() for one in listed)
    assert json.loads(ask("unsent", "--peer", "other")) == []
    assert ask("resend", "0" * 32) == "0 results are queued again\n"
    assert ask("resend", listed[0]["arrival_id"], "--peer", "web") == "3 results are queued again\n"
    assert json.loads(ask("status"))["deliveries waiting"] == 3
