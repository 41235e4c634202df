"""Sending to peers that behave, that refuse, that lie, that point elsewhere, that are not there."""

import contextlib
import gc
import io
import json
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pydicom
import pynetdicom
import pytest
from pydicom.uid import JPEGLSLossless
from pynetdicom import evt

from covid_xray.inference.predictor import Predictor
from covid_xray.pacs.results.result_objects import ResultBuilder
from covid_xray.pacs.settings import Pacs, Peer
from covid_xray.pacs.store_scu import NATIVE, send, web_client
from support import studies, token_server
from support.chests import chest
from support.orthanc import free_port

pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # pynetdicom, when nobody is there
THREE_D = b"1.2.840.10008.5.1.4.1.1.88.34"
PIXELS = chest(height=64, width=64, body=255, lung=85)


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    predictor = Predictor(studies.make_lung_bundle(tmp_path_factory.mktemp("b") / "bundle"))
    return [*ResultBuilder(predictor, share=0.3).build(studies.film(PIXELS)).objects.values()]


@contextlib.contextmanager
def provider(
    *statuses: int,
    classes: tuple[str, ...] = tuple(studies.RESULT_CLASSES),
    syntaxes: tuple[str, ...] = NATIVE,
    received: list[Any] | None = None,
) -> Iterator[Peer]:
    """A C-STORE provider that answers with these statuses in turn, then with the last one."""
    entity, left = pynetdicom.AE(ae_title="ARCHIVE"), [*statuses]
    for uid in classes:
        entity.add_supported_context(uid, [*syntaxes])

    def store(event: Any) -> int:
        if received is not None:
            received.append((event.context.transfer_syntax, event.dataset, event.file_meta))
        return left.pop(0) if len(left) > 1 else left[0]

    handlers = [(evt.EVT_C_STORE, store)]
    server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
    try:
        yield Peer(host="127.0.0.1", port=server.socket.getsockname()[1], ae_title="ARCHIVE")
    finally:
        server.shutdown()


@pytest.fixture(autouse=True)
def _sockets() -> Iterator[None]:
    yield
    gc.collect()  # those that pynetdicom left open go now, where nobody minds


def opened(data: bytes) -> pydicom.Dataset:
    return pydicom.dcmread(io.BytesIO(data))


def codes(peer: Peer, objects: list[bytes]) -> list[str]:
    return [sent.code for sent in send(Pacs(), peer, objects)]


def test_each_object_has_its_own_outcome(objects: list[bytes]) -> None:
    with provider(0x0000, 0xB000, 0xA700) as peer:
        assert codes(peer, objects) == ["", "", "status-A700"]


def test_a_peer_that_takes_no_segmentations_says_so_for_those_only(objects: list[bytes]) -> None:
    without = tuple(uid for uid, kind in studies.RESULT_CLASSES.items() if kind != "seg")
    with provider(0x0000, classes=without) as peer:
        assert codes(peer, objects) == ["", "", "not-accepted"]


def test_a_peer_without_3d_reports_gets_plain_ones(objects: list[bytes]) -> None:
    without = tuple(uid for uid, kind in studies.RESULT_CLASSES.items() if kind != "sr")
    received: list[Any] = []
    with provider(0x0000, classes=without, received=received) as peer:
        assert codes(peer, objects) == ["", "", ""]
    reports = [one for _, one, _ in received if one.Modality == "SR"]
    assert [one.SOPClassUID for one in reports] == ["1.2.840.10008.5.1.4.1.1.88.33"]
    assert reports[0].ContentSequence == opened(objects[1]).ContentSequence


def test_an_archive_that_knows_implicit_vr_only_gets_all_in_it(objects: list[bytes]) -> None:
    received: list[Any] = []
    with provider(0, syntaxes=(NATIVE[1],), received=received) as peer:
        assert codes(peer, objects) == ["", "", ""]
    assert [syntax for syntax, _, _ in received] == [NATIVE[1]] * 3
    assert [one.SOPInstanceUID for _, one, _ in received] == [opened(one).SOPInstanceUID for one in objects]


@pytest.mark.parametrize("syntax", ["+xi", "+xe", "+xt"])
def test_dcmtk_takes_all_in_the_encoding_that_it_prefers(syntax: str, objects: list[bytes], tmp_path: Path) -> None:
    studies.require("storescp")
    port = free_port()
    with subprocess.Popen(["storescp", syntax, "-od", str(tmp_path), str(port)]) as archive:
        try:
            peer = Peer(host="127.0.0.1", port=port, ae_title="ARCHIVE")
            for _ in range(200):
                if (found := codes(peer, objects)) != ["no-association"] * 3:
                    break
                time.sleep(0.1)
        finally:
            archive.terminate()
    assert found == ["", "", ""]
    stored = {str(one.SOPInstanceUID): one for one in map(pydicom.dcmread, tmp_path.iterdir())}
    assert {*stored} == {str(opened(one).SOPInstanceUID) for one in objects}
    used = {str(one.file_meta.TransferSyntaxUID) for one in stored.values()}
    assert used == {"+xi": {NATIVE[1]}, "+xe": {NATIVE[0]}, "+xt": {JPEGLSLossless, NATIVE[0]}}[syntax]


def test_what_the_archive_has_already_counts_as_sent(objects: list[bytes]) -> None:
    with provider(0x0111) as peer:
        assert codes(peer, objects) == ["", "", ""]


def test_a_secondary_capture_is_compressed_where_the_archive_takes_that(objects: list[bytes]) -> None:
    received: list[Any] = []
    with provider(0, syntaxes=(*NATIVE, JPEGLSLossless), received=received) as peer:
        assert codes(peer, objects) == ["", "", ""]
    assert [syntax for syntax, _, _ in received] == [JPEGLSLossless, NATIVE[0], NATIVE[0]]
    _, capture, meta = received[0]
    capture.file_meta = meta
    original = opened(objects[0])
    assert (capture.pixel_array == original.pixel_array).all()
    assert capture.SOPInstanceUID == original.SOPInstanceUID  # lossless: it is the same image


def test_an_archive_that_takes_none_of_it_is_not_asked_again(objects: list[bytes]) -> None:
    with provider(0, classes=("1.2.840.10008.1.1",)) as peer:
        assert codes(peer, objects) == ["not-accepted"] * 3


def test_a_rejected_association_is_told_from_no_answer(objects: list[bytes]) -> None:
    with provider(0) as peer:
        entity = pynetdicom.AE(ae_title="STRICT")
        entity.require_calling_aet = ["SOMEBODY"]
        entity.add_supported_context(studies.DX)
        server = entity.start_server(("127.0.0.1", 0), block=False)
        strict = peer.model_copy(update={"port": server.socket.getsockname()[1]})
        try:
            assert codes(strict, objects) == ["rejected"] * 3
        finally:
            server.shutdown()


def test_nobody_there_is_no_association_for_all(objects: list[bytes]) -> None:
    assert codes(Peer(host="127.0.0.1", port=free_port(), ae_title="X"), objects) == ["no-association"] * 3
    assert codes(Peer(dicomweb=f"http://127.0.0.1:{free_port()}/x"), objects) == ["no-answer"] * 3


class Archive(BaseHTTPRequestHandler):
    """A DICOMweb archive that does as its server's `way` says."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        way, server = self.server.way, self.server  # type: ignore[attr-defined]
        server.seen.append(("POST", self.path, self.headers.get("Authorization")))  # type: ignore[attr-defined]
        if way == "redirects":
            self.send_response(307)
            self.send_header("Location", f"http://127.0.0.1:{server.other}/stolen")  # type: ignore[attr-defined]
            self.end_headers()
            return
        if way == "knows no 3D" and THREE_D in body:
            self._answer(409, {})
            return
        if way == "knows no 3D":
            server.stored = body  # type: ignore[attr-defined]
        failed = {"00081198": {"vr": "SQ", "Value": [{"00081197": {"vr": "US", "Value": [272]}}]}}
        self._answer(500 if way == "fails" else 200, failed if way == "refuses" else {})

    def do_GET(self) -> None:
        self.server.seen.append(("GET", self.path, None))  # type: ignore[attr-defined]
        uid = parse_qs(urlsplit(self.path).query).get("00080018", [""])[0]
        known = uid and uid.encode() in self.server.stored  # type: ignore[attr-defined]
        self._answer(200, [{"00080018": {"vr": "UI", "Value": [uid]}}] if known else [])

    def _answer(self, status: int, body: object) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/dicom+json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def web(way: str, other: int = 0) -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Archive)
    server.way, server.other, server.seen, server.stored = way, other, [], b""  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def root(server: Any) -> str:
    return f"http://127.0.0.1:{server.server_address[1]}/dicom-web"


@pytest.mark.parametrize(("way", "code"), [("lies", "not-there"), ("refuses", "refused"), ("fails", "http-500")])
def test_a_yes_is_believed_only_when_the_object_is_there(way: str, code: str, objects: list[bytes]) -> None:
    with web(way) as server:
        assert codes(Peer(dicomweb=root(server)), objects[:1]) == [code]


def test_a_web_archive_without_3d_reports_gets_a_plain_one(objects: list[bytes]) -> None:
    report = [one for one in objects if opened(one).Modality == "SR"]
    with web("knows no 3D") as server:
        (result,) = send(Pacs(), Peer(dicomweb=root(server)), report)
        assert (result.code, result.plain) == ("", True)
        assert b"1.2.840.10008.5.1.4.1.1.88.33" in server.stored  # type: ignore[attr-defined]
        assert [method for method, _, _ in server.seen] == ["POST", "POST", "GET"]  # type: ignore[attr-defined]


def test_no_redirect_is_followed(objects: list[bytes]) -> None:
    with web("lies") as elsewhere, web("redirects", other=elsewhere.server_address[1]) as server:
        assert codes(Peer(dicomweb=root(server)), objects[:1]) == ["http-307"]
        assert elsewhere.seen == []  # type: ignore[attr-defined]


def test_credentials_go_to_the_peer_and_proxies_of_the_environment_are_not_used(
    objects: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PEER_TOKEN", "t-1")
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    with web("lies") as server:
        assert codes(Peer(dicomweb=root(server), token_env="PEER_TOKEN"), objects[:1]) == ["not-there"]
        assert server.seen[0] == ("POST", "/dicom-web/studies", "Bearer t-1")  # type: ignore[attr-defined]


@pytest.mark.parametrize(("expires", "tokens"), [(3600, 1), (1, 4)])
def test_a_token_is_fetched_with_client_credentials_and_again_before_it_expires(
    expires: int, tokens: int, objects: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLIENT_SECRET", token_server.SECRET)
    with token_server.running(expires=expires) as given, web("lies") as server:
        peer = Peer(
            dicomweb=root(server), token_url=given.url, client_id=token_server.CLIENT,
            client_secret_env="CLIENT_SECRET", scope=token_server.SCOPE,
        )  # fmt: skip
        assert codes(peer, objects[:2]) == ["not-there", "not-there"]
        used = [authorization for method, _, authorization in server.seen if method == "POST"]  # type: ignore[attr-defined]
    assert len(given.tokens) >= tokens
    assert all(one.removeprefix("Bearer ") in given.tokens for one in used)
    assert len(set(used)) == min(2, tokens)


def test_without_a_token_nothing_is_sent(objects: list[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLIENT_SECRET", "wrong")
    with token_server.running() as given, web("lies") as server:
        known = {"dicomweb": root(server), "client_id": "node", "client_secret_env": "CLIENT_SECRET"}
        assert codes(Peer(**known, token_url=given.url), objects) == ["no-token"] * 3
        nobody = f"http://127.0.0.1:{free_port()}/token"
        assert codes(Peer(**known, token_url=nobody), objects) == ["no-token"] * 3
        assert server.seen == []  # type: ignore[attr-defined]


def test_nothing_of_the_patient_is_logged(objects: list[bytes], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    with web("fails") as server, provider(0xA700) as peer:
        codes(Peer(dicomweb=root(server)), objects)
        codes(peer, objects)
    assert "Phantom" not in caplog.text
    assert "2.25." not in caplog.text  # UIDs of results
    assert web_client(Peer(dicomweb="http://127.0.0.1:9/x")) is not None
