"""DICOM over TLS with dcmtk on the other side, both ways; who has no certificate, or another one, is refused."""

import contextlib
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydicom
import pytest

from covid_xray.errors import UsageError
from covid_xray.inference.predictor import Predictor
from covid_xray.pacs.refusals import read_refusals
from covid_xray.pacs.results.result_objects import ResultBuilder
from covid_xray.pacs.service import NodeServices
from covid_xray.pacs.settings import Pacs, Peer, Tls
from covid_xray.pacs.store_scp import StoreScp
from covid_xray.pacs.store_scu import send
from covid_xray.pacs.tls import listening_context
from support import services, studies
from support.certificates import Authority, fingerprint
from support.chests import chest
from support.orthanc import free_port

PIXELS = chest(height=64, width=64, body=255, lung=85)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return Predictor(studies.make_lung_bundle(tmp_path_factory.mktemp("b") / "bundle"))


def tls(authority: Authority, **others: Any) -> dict[str, Any]:
    certificate, key = authority.give("node")
    return {"certificate": certificate, "key": key, "authority": authority.file, **others}


@contextlib.contextmanager
def listening(folder: Path, predictor: Predictor, **settings: Any) -> Iterator[tuple[NodeServices, int]]:
    with services.opened(folder, predictor, **settings) as parts:
        node = StoreScp(parts.settings, parts.receiver, limits=predictor.limits)
        with node.listening() as port:
            yield parts, port


def storescu(port: int, folder: Path, *options: object) -> subprocess.CompletedProcess[str]:
    studies.require("storescu")
    (folder / "film.dcm").write_bytes(studies.film(PIXELS))
    command = ["storescu", *map(str, options), "-aet", "MODALITY", "-aec", "COVIDXRAY", "127.0.0.1", str(port)]
    command.append(str(folder / "film.dcm"))
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def secured(authority: Authority, name: str) -> list[object]:
    certificate, key = authority.give(name)
    return ["+tls", key, certificate, "+cf", authority.file]


def counted(parts: NodeServices) -> dict[str, int]:
    parts.receiver.refusals.flush(force=True)
    return {one.code: one.count for one in read_refusals(parts.queue.database)}


def test_a_modality_with_a_certificate_of_the_authority_sends(
    authority: Authority, tmp_path: Path, predictor: Predictor
) -> None:
    with listening(tmp_path, predictor, tls=tls(authority)) as (parts, port):
        sent = storescu(port, tmp_path, *secured(authority, "modality"))
        assert sent.returncode == 0, sent.stderr
        assert parts.queue.count_states() == {"arrivals waiting": 1}


def test_plain_dicom_no_certificate_and_one_of_another_authority_are_refused(
    authority: Authority, tmp_path: Path, predictor: Predictor
) -> None:
    stranger = Authority(tmp_path / "stranger", "another authority")
    certificate, key = stranger.give("modality")
    foreign = ["+tls", key, certificate, "+cf", authority.file]
    with listening(tmp_path, predictor, tls=tls(authority), artim_seconds=2) as (parts, port):
        for options in ([], ["+tla", "-ic"], foreign):
            assert storescu(port, tmp_path, *options).returncode != 0
        assert parts.queue.count_states() == {}
        assert counted(parts) == {"tls-failed": 3}


def test_a_caller_is_known_by_its_certificate(authority: Authority, tmp_path: Path, predictor: Predictor) -> None:
    mine = secured(authority, "modality")
    other = secured(authority, "other")
    own = tls(authority, callers={"MODALITY": fingerprint(authority.folder / "modality.pem")})
    with listening(tmp_path, predictor, tls=own) as (parts, port):
        assert storescu(port, tmp_path, *mine).returncode == 0
        assert storescu(port, tmp_path, *other).returncode != 0
        assert counted(parts) == {"wrong-certificate": 1}


@contextlib.contextmanager
def storescp(authority: Authority, folder: Path) -> Iterator[int]:
    studies.require("storescp")
    folder.mkdir()
    certificate, key = authority.give("archive")
    port = free_port()
    options = ["+tls", key, certificate, "+cf", authority.file, "-od", folder]
    with subprocess.Popen(["storescp", *map(str, options), str(port)]) as archive:
        try:
            for _ in range(200):
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                    break
                time.sleep(0.1)
            yield port
        finally:
            archive.terminate()


def test_results_go_to_an_archive_over_tls(authority: Authority, tmp_path: Path, predictor: Predictor) -> None:
    objects = [*ResultBuilder(predictor, share=0.3).build(studies.film(PIXELS)).objects.values()]
    settings = Pacs(tls=Tls.model_validate(tls(authority)))
    with storescp(authority, tmp_path / "archive") as port:
        peer = Peer(host="127.0.0.1", port=port, ae_title="ARCHIVE", tls=True)
        assert [one.code for one in send(settings, peer, objects)] == ["", "", ""]
        assert len([pydicom.dcmread(path) for path in (tmp_path / "archive").iterdir()]) == 3
        wrong = peer.model_copy(update={"server_name": "elsewhere.example"})
        assert {one.code for one in send(settings, wrong, objects)} == {"no-association"}
        stranger = Authority(tmp_path / "stranger", "another authority")
        wrong = peer.model_copy(update={"authority": stranger.file})
        assert {one.code for one in send(settings, wrong, objects)} == {"no-association"}


def test_a_slow_handshake_delays_nobody(authority: Authority, tmp_path: Path, predictor: Predictor) -> None:
    with (
        listening(tmp_path, predictor, tls=tls(authority), artim_seconds=60) as (_, port),
        socket.create_connection(("127.0.0.1", port), 30),
    ):
        assert storescu(port, tmp_path, *secured(authority, "modality")).returncode == 0


def test_only_tls_of_the_profile(authority: Authority) -> None:
    context = listening_context(Tls.model_validate(tls(authority)))
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.verify_mode == ssl.CERT_REQUIRED
    for cipher in context.get_ciphers():
        assert cipher["aead"], cipher["name"]
        assert cipher["kea"] in ("kx-any", "kx-ecdhe"), cipher["name"]


def test_files_that_do_not_fit_are_said(authority: Authority, tmp_path: Path) -> None:
    good = tls(authority)
    with pytest.raises(UsageError, match="No such file"):
        listening_context(Tls.model_validate({**good, "certificate": tmp_path / "none.pem"}))
    _, other_key = Authority(tmp_path / "other").give("node")
    with pytest.raises(UsageError, match="PEM pair"):
        listening_context(Tls.model_validate({**good, "key": other_key}))
