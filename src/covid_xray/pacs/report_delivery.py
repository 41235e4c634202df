"""Send reports: to a folder, to a FHIR server, or to a reporting system by HL7 v2 over MLLP (with TLS where it is set).

Addresses come from the settings only, and no redirect is followed. Nothing of a response is logged.
"""

import contextlib
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path

from covid_xray.errors import CovidXrayError
from covid_xray.files import replacing, sha256_bytes
from covid_xray.pacs.settings import Pacs, Peer
from covid_xray.pacs.store_scu import TIMEOUT, PeerFailed, SendResult, http_code, web_session
from covid_xray.pacs.tls import connecting_context

_START, _END = b"\x0b", b"\x1c\r"  # of a message in MLLP
_MAX_RESPONSE = 1 << 16  # bytes
_ACCEPTED = (b"AA", b"CA")


def send_to_folder(peer: Peer, files: Sequence[bytes]) -> Iterator[SendResult]:
    """Write each file into the peer's folder under a name made of its content; yield the outcomes."""
    for data in files:
        suffix = {b"{": "json", b"M": "hl7"}.get(data[:1], "dcm")
        try:
            with replacing(Path(str(peer.folder)).expanduser() / f"{sha256_bytes(data)[:32]}.{suffix}") as temporary:
                temporary.write_bytes(data)
        except (CovidXrayError, OSError):
            yield SendResult("not-written")
            continue
        yield SendResult()


def send_to_fhir(peer: Peer, bundles: Sequence[bytes]) -> Iterator[SendResult]:
    """Post each transaction Bundle to the FHIR server of a peer; yield the outcomes."""
    try:
        session = web_session(peer)
    except PeerFailed as error:
        yield from (SendResult(error.code) for _ in bundles)
        return
    headers = {"Content-Type": "application/fhir+json", "Accept": "application/fhir+json"}
    for data in bundles:
        try:
            response = session.post(str(peer.fhir), data=data, headers=headers, allow_redirects=False)
        except OSError as error:  # requests' exceptions are OSErrors
            yield SendResult(http_code(error))
            continue
        yield SendResult() if response.status_code in (200, 201) else SendResult(f"http-{response.status_code}")


def send_by_mllp(settings: Pacs, peer: Peer, messages: Sequence[bytes]) -> Iterator[SendResult]:
    """Send each message to the host and port of a peer and wait for its acknowledgement; yield the outcomes.

    Each has a connection of its own, since some receivers close theirs after one message.
    """
    answers = True
    for data in messages:
        try:
            code = _send_message(settings, peer, data) if answers else "no-answer"  # one timeout a batch is enough
        except OSError:  # ssl.SSLError is one
            code, answers = "no-answer", False
        yield SendResult(code)


def _send_message(settings: Pacs, peer: Peer, data: bytes) -> str:
    """Return the code of the acknowledgement, empty when it accepts. Raises `OSError`."""
    with contextlib.ExitStack() as stack:
        connection = stack.enter_context(socket.create_connection((str(peer.host), peer.port), TIMEOUT))
        if peer.tls and settings.tls:
            context = connecting_context(settings.tls, peer)
            wrapped = context.wrap_socket(connection, server_hostname=peer.server_name or peer.host)
            connection = stack.enter_context(wrapped)
        connection.sendall(_START + data + _END)
        return _outcome(_receive(connection))


def _receive(connection: socket.socket) -> bytes:
    received = b""
    while not received.endswith(_END):
        part = connection.recv(4096)
        if not part or len(received) > _MAX_RESPONSE:
            raise OSError("The connection ended within an acknowledgement.")
        received += part
    return received.strip(_START + _END)


def _outcome(response: bytes) -> str:
    """Return an empty code for an acknowledgement that accepts, else one that says what it was."""
    for segment in response.split(b"\r"):
        fields = segment.split(b"|")
        if fields[0] == b"MSA" and len(fields) > 1:
            code = fields[1][:2]
            return "" if code in _ACCEPTED else f"hl7-{code.decode('ascii', 'replace')}"
    return "hl7-no-acknowledgement"
