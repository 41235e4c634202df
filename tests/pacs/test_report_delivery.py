"""Reports go to a FHIR server, to an MLLP receiver (hl7apy's) and into a folder, once each; failures have a code."""

import contextlib
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from fhir.resources.R4B.bundle import Bundle
from hl7apy.core import Message
from hl7apy.mllp import AbstractHandler, MLLPServer

from covid_xray.inference.predictor import Predictor
from covid_xray.pacs.report_delivery import send_by_mllp, send_to_fhir, send_to_folder
from covid_xray.pacs.service import NodeServices
from covid_xray.pacs.settings import Pacs, Peer, Tls
from support import services, studies, token_server
from support.certificates import Authority
from support.orthanc import free_port
from support.reported import PIXELS, Reporter


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return Reporter(tmp_path_factory.mktemp("b") / "bundle").results("answer")


class FhirServer(BaseHTTPRequestHandler):
    """Take transactions of R4 and create what does not exist, as `ifNoneExist` asks; redirect where it is told to."""

    def do_POST(self) -> None:
        server: Any = self.server
        data = self.rfile.read(int(self.headers["Content-Length"]))
        server.authorizations.append(self.headers.get("Authorization"))
        if server.status != 200:
            self.send_response(server.status)
            self.send_header("Location", "http://127.0.0.1:9/stolen")
            self.end_headers()
            return
        assert self.headers["Content-Type"] == "application/fhir+json"
        for entry in Bundle.model_validate_json(data).entry:
            server.created.setdefault(entry.request.ifNoneExist, entry.resource)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"resourceType": "Bundle", "type": "transaction-response"}).encode())

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def serving(server: Any) -> Iterator[Any]:
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextlib.contextmanager
def fhir_server(status: int = 200) -> Iterator[Any]:
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), FhirServer)
    server.status, server.created, server.authorizations = status, {}, []
    server.url = f"http://127.0.0.1:{server.server_address[1]}/r4"
    with serving(server):
        yield server


class Acknowledging(AbstractHandler):  # type: ignore[misc]
    """Keep a message and acknowledge it with the code of the test."""

    def __init__(self, message: str, received: list[str], code: str) -> None:
        super().__init__(message)
        received.append(message)
        self.code = code

    def reply(self) -> str:
        answer = Message("ACK", version="2.5.1")
        answer.msh.msh_9 = "ACK^R01^ACK"
        answer.msa.msa_1, answer.msa.msa_2 = self.code, self.incoming_message.split("|")[9]
        return str(answer.to_mllp())


@contextlib.contextmanager
def receiver(code: str = "AA", context: ssl.SSLContext | None = None) -> Iterator[tuple[int, list[str]]]:
    received: list[str] = []
    server = MLLPServer("127.0.0.1", 0, {"ORU^R01^ORU_R01": (Acknowledging, received, code)})
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    with serving(server):
        yield server.server_address[1], received


def hang_up(listener: socket.socket) -> None:
    connection, _ = listener.accept()
    connection.close()


def codes(outcomes: Iterator[Any]) -> list[str]:
    return [one.code for one in outcomes]


def test_a_fhir_server_has_each_resource_once(reports: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FHIR_TOKEN", "t-1")
    with fhir_server() as server:
        peer = Peer(fhir=server.url, token_env="FHIR_TOKEN")
        assert codes(send_to_fhir(peer, [reports["fhir4"]] * 2)) == ["", ""]
        assert sorted(one.get_resource_type() for one in server.created.values()) == ["DiagnosticReport", "Observation"]
        assert server.authorizations == ["Bearer t-1"] * 2


@pytest.mark.parametrize("status", [307, 401, 422, 500])
def test_a_fhir_server_that_refuses_or_points_elsewhere(status: int, reports: dict[str, bytes]) -> None:
    with fhir_server(status) as server:
        assert codes(send_to_fhir(Peer(fhir=server.url), [reports["fhir4"]])) == [f"http-{status}"]
    nobody = Peer(fhir=f"http://127.0.0.1:{free_port()}/r4")
    assert codes(send_to_fhir(nobody, [reports["fhir4"]])) == ["no-answer"]


def test_a_fhir_server_with_oauth2(reports: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLIENT_SECRET", token_server.SECRET)
    with token_server.running() as given, fhir_server() as server:
        peer = Peer(
            fhir=server.url, token_url=given.url, client_id=token_server.CLIENT, client_secret_env="CLIENT_SECRET",
            scope=token_server.SCOPE,
        )  # fmt: skip
        assert codes(send_to_fhir(peer, [reports["fhir4"]])) == [""]
        assert server.authorizations == [f"Bearer {given.tokens[0]}"]


def test_a_reporting_system_acknowledges_by_mllp(reports: dict[str, bytes]) -> None:
    with receiver() as (port, received):
        peer = Peer(host="127.0.0.1", port=port, hl7=True)
        assert codes(send_by_mllp(Pacs(), peer, [reports["hl7"]] * 2)) == ["", ""]
        assert [one.encode().rstrip() for one in received] == [reports["hl7"].rstrip()] * 2


def test_a_reporting_system_that_refuses_or_is_not_there(reports: dict[str, bytes]) -> None:
    with receiver("AE") as (port, _):
        peer = Peer(host="127.0.0.1", port=port, hl7=True)
        assert codes(send_by_mllp(Pacs(), peer, [reports["hl7"]])) == ["hl7-AE"]
    nobody = Peer(host="127.0.0.1", port=free_port(), hl7=True)
    assert codes(send_by_mllp(Pacs(), nobody, [reports["hl7"]] * 2)) == ["no-answer", "no-answer"]
    with socket.create_server(("127.0.0.1", 0)) as silent:  # it closes without a word
        thread = threading.Thread(target=lambda: hang_up(silent))
        thread.start()
        peer = Peer(host="127.0.0.1", port=silent.getsockname()[1], hl7=True)
        assert codes(send_by_mllp(Pacs(), peer, [reports["hl7"]])) == ["no-answer"]
        thread.join()


def test_mllp_over_tls(reports: dict[str, bytes], tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.give("system"))
    context.load_verify_locations(authority.file)
    context.verify_mode = ssl.CERT_REQUIRED
    certificate, key = authority.give("node")
    settings = Pacs(tls=Tls(certificate=certificate, key=key, authority=authority.file))
    with receiver(context=context) as (port, received):
        peer = Peer(host="127.0.0.1", port=port, hl7=True, tls=True)
        assert codes(send_by_mllp(settings, peer, [reports["hl7"]])) == [""]
        assert len(received) == 1


def test_a_folder_gets_each_file_once(reports: dict[str, bytes], tmp_path: Path) -> None:
    peer = Peer(folder=tmp_path / "out")
    for _ in range(2):
        assert codes(send_to_folder(peer, [*reports.values()])) == ["", "", ""]
    assert sorted(path.suffix for path in (tmp_path / "out").iterdir()) == [".hl7", ".json", ".json"]
    (tmp_path / "file").touch()
    assert codes(send_to_folder(Peer(folder=tmp_path / "file"), [reports["hl7"]])) == ["not-written"]


def test_the_node_sends_each_peer_what_it_takes(tmp_path: Path) -> None:
    predictor = Predictor(studies.make_lung_bundle(tmp_path / "bundle"))
    with fhir_server() as server, receiver() as (port, received):
        peers = {
            "ehr": {"fhir": server.url},
            "ris": {"host": "127.0.0.1", "port": port, "hl7": True},
            "files": {"folder": str(tmp_path / "out")},
        }
        settings = {"peers": peers, "send_to": [*peers], "results": ["sr", "fhir4", "hl7"]}
        with services.opened(tmp_path, predictor, **settings) as parts:
            sent = deliver(parts)
        assert sent == {"arrivals answered": 1, "deliveries sent": 5}
        assert (len(server.created), len(received)) == (2, 1)
        assert sorted(path.suffix for path in (tmp_path / "out").iterdir()) == [".dcm", ".hl7", ".json"]


def deliver(parts: NodeServices) -> dict[str, int]:
    parts.receiver.receive(services.incoming(parts, studies.film(PIXELS)), origin="A")
    parts.classify_all()
    parts.send_all()
    assert [path.name for path in parts.spool.folder.iterdir() if path.is_file()] == [".lock"]
    return parts.queue.count_states()
