"""Connections that stay silent, stop in the middle or are too many: they end, are counted, and take nobody's place."""

import contextlib
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pynetdicom
import pytest

from covid_xray.inference.predictor import Predictor
from covid_xray.pacs.refusals import read_refusals
from covid_xray.pacs.service import NodeServices
from covid_xray.pacs.store_scp import StoreScp
from support import services
from support.bundles import make_bundle


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return Predictor(make_bundle(tmp_path_factory.mktemp("b") / "bundle"))


@contextlib.contextmanager
def listening(folder: Path, predictor: Predictor, **settings: float) -> Iterator[tuple[NodeServices, int]]:
    with services.opened(folder, predictor, **settings) as parts:
        node = StoreScp(parts.settings, parts.receiver, limits=predictor.limits)
        with node.listening() as port:
            yield parts, port


@contextlib.contextmanager
def connections(port: int, count: int, first: bytes = b"") -> Iterator[list[socket.socket]]:
    """Open sockets to the node that send nothing more than `first`."""
    with contextlib.ExitStack() as stack:
        opened = [stack.enter_context(socket.create_connection(("127.0.0.1", port), 30)) for _ in range(count)]
        for one in opened:
            one.sendall(first)
        yield opened


def answers_echo(port: int) -> bool:
    entity = pynetdicom.AE(ae_title="MODALITY")
    entity.add_requested_context("1.2.840.10008.1.1")
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 30
    association = entity.associate("127.0.0.1", port, ae_title="COVIDXRAY")
    if not association.is_established:
        return False
    status = association.send_c_echo().get("Status")
    association.release()
    return status == 0


def counted(parts: NodeServices) -> dict[str, int]:
    parts.receiver.refusals.flush(force=True)
    return {one.code: one.count for one in read_refusals(parts.queue.database)}


def ended(connection: socket.socket) -> bool:
    connection.settimeout(30)
    with contextlib.suppress(ConnectionError):
        while connection.recv(1000):  # an A-ABORT may come first
            pass
    return True


def test_silent_connections_do_not_take_the_places_of_associations(tmp_path: Path, predictor: Predictor) -> None:
    with listening(tmp_path, predictor, associations=2, artim_seconds=60) as (_, port), connections(port, 8):
        assert answers_echo(port)


@pytest.mark.parametrize("first", [b"", b"\x01\x00\x00", b"\x01\x00\x00\x00\x10\x00" + bytes(100)])
def test_a_connection_without_a_request_ends_in_time(first: bytes, tmp_path: Path, predictor: Predictor) -> None:
    settings = {"artim_seconds": 0.5, "idle_seconds": 600}
    with listening(tmp_path, predictor, **settings) as (parts, port), connections(port, 2, first) as opened:
        assert all(ended(one) for one in opened)
        assert answers_echo(port)
        if first:  # pynetdicom's own timer is as fast where nothing came at all
            assert counted(parts)["no-request"] >= 1


def test_one_address_has_a_number_of_connections(tmp_path: Path, predictor: Predictor) -> None:
    settings = {"connections_per_address": 3, "artim_seconds": 60}
    with listening(tmp_path, predictor, **settings) as (parts, port):
        with connections(port, 3):
            time.sleep(0.2)
            with connections(port, 1) as further:
                assert ended(further[0])
            assert counted(parts) == {"too-many-connections": 1}
        for _ in range(200):
            if answers_echo(port):
                break
            time.sleep(0.05)
        assert answers_echo(port)
