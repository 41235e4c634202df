"""Accept the connections of DICOM peers, so that those that stay silent take no place of an association.

A connection has `artim_seconds` for its TLS handshake and its A-ASSOCIATE-RQ (PS3.8 9.1.5), and one address has
`connections_per_address`. pynetdicom itself counts a silent connection as an association and lets it wait for long.
"""

import contextlib
import functools
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

from pynetdicom.transport import RequestHandler, ThreadedAssociationServer

from covid_xray.errors import UsageError
from covid_xray.pacs.refusals import RefusalLog
from covid_xray.pacs.settings import Pacs

_MOST = 200  # connections of all addresses
_CHUNK = 256 << 10  # bytes to read at once


class AssociationServer(ThreadedAssociationServer):
    """The listening socket of a node. `tls` is the context of its side, where it has one."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self, *arguments: Any, settings: Pacs, refusals: RefusalLog, tls: ssl.SSLContext | None, **options: Any
    ) -> None:
        self._settings, self._refusals, self._tls = settings, refusals, tls
        self._opening: Counter[str] = Counter()  # connections by address before there is a thread of pynetdicom
        self._first_seen: dict[Any, float] = {}
        self._lock = threading.Lock()
        super().__init__(*arguments, request_handler=_Handler, **options)

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Return whether this address may open one more connection."""
        address = client_address[0]
        running = [one.requestor.address_info.address for one in self.active_associations if _socket_of(one)]
        with self._lock:
            total = len(running) + self._opening.total()
            allowed = running.count(address) + self._opening[address] < self._settings.connections_per_address
            if allowed and total < _MOST:
                self._opening[address] += 1
                return True
        self._refusals.note("too-many-connections", "Too many connections of this address.", address=address)
        return False

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Do the TLS handshake in the thread of this connection, so that a slow one delays no other."""
        address = client_address[0]
        try:
            request.settimeout(self._settings.artim_seconds)
            if self._tls:
                request = self._tls.wrap_socket(request, server_side=True)
            request.settimeout(self._settings.idle_seconds)
            super().process_request_thread(request, client_address)
        except (OSError, ValueError):  # ssl.SSLError is an OSError
            self._refusals.note("tls-failed", "No TLS, or no certificate that the node accepts.", address=address)
            self.shutdown_request(request)
        finally:
            with self._lock:
                self._opening[address] -= 1
                self._opening += Counter()  # forget addresses without connections

    def service_actions(self) -> None:
        """Close the connections that requested no association in time, or stopped in the middle of a message."""
        super().service_actions()
        running, moment = self.active_associations, time.monotonic()
        self._first_seen = {one: self._first_seen.get(one, moment) for one in running}
        for one, since in self._first_seen.items():
            waits = one.requestor.primitive is None
            if waits and not _socket_of(one):  # closed by the peer: its thread would wait anyway
                one.dul.to_user_queue.put(None)
                continue
            silent = waits and moment - since > self._settings.artim_seconds
            if silent:
                address = one.requestor.address_info.address
                self._refusals.note("no-request", "No association was requested in time.", address=address)
            if silent or one.dul._idle_timer.remaining < -5:  # pynetdicom's own end of it is overdue
                _cut(_socket_of(one))


class _Handler(RequestHandler):
    """Make the association of a connection; it reads large parts at once, where pynetdicom reads 4096 bytes."""

    def _create_association(self) -> Any:
        association = super()._create_association()
        association.dul.socket.recv = functools.partial(_receive, association.dul.socket)
        return association


@contextlib.contextmanager
def serving(
    entity: Any, settings: Pacs, refusals: RefusalLog, *, tls: ssl.SSLContext | None, handlers: list[Any]
) -> Iterator[AssociationServer]:
    """Listen in a thread while the block runs. Raises `UsageError` when the address is in use."""
    address = (settings.host, settings.port)
    options = {"settings": settings, "refusals": refusals, "tls": tls, "evt_handlers": handlers}
    try:
        server = entity.make_server(address, server_class=AssociationServer, **options)
    except OSError:
        raise UsageError(
            f"Cannot listen at {address[0]} port {address[1]}: in use, or no address of this machine. Set another."
        ) from None
    entity._servers.append(server)  # as its own start_server does; `shutdown` removes it
    threading.Thread(target=server.serve_forever, name="associations", daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()


def _receive(connection: Any, count: int) -> bytearray:
    """Read `count` bytes; fewer where the connection ends."""
    received = bytearray()
    while len(received) < count:
        part = connection.socket.recv(min(count - len(received), _CHUNK))
        if not part:
            break
        received += part
    return received


def _socket_of(association: Any) -> Any:
    """Return the open socket of an association, or none."""
    connection = association.dul.socket.socket if association.dul.socket else None
    return connection if connection is not None and connection.fileno() != -1 else None


def _cut(connection: Any) -> None:
    with contextlib.suppress(OSError, AttributeError):  # it ended meanwhile
        connection.shutdown(socket.SHUT_RDWR)
