"""Real connections that dawdle, break off or never begin: they are ended, leave nothing, and hold nobody up."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest

from support.drawing import png
from support.servers import COVID, Process, upload

HEAD = (
    b"POST /api/v1/predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: multipart/form-data; boundary=x\r\n"
    b"Content-Length: %d\r\n\r\n"
)
BODY = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n' + COVID + b"\r\n--x--\r\n"
JSON = b"POST /api/v1/login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 90\r\n\r\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    with Process(tmp_path_factory.mktemp("patience"), "--set", "body_seconds=1.5") as running:
        with running.client() as client:
            upload(client)
        yield running


def connect(server: Process) -> socket.socket:
    parts = urlsplit(server.address)
    return socket.create_connection((parts.hostname, parts.port), timeout=30)


def rest(connection: socket.socket) -> bytes:
    """Everything until the server closes."""
    parts = []
    while data := connection.recv(65536):
        parts.append(data)
    return b"".join(parts)


def stored(server: Process) -> tuple[list[Path], int]:
    with server.client() as client:
        return sorted((server.store / "images").iterdir()), client.get("/api/v1/studies").json()["total"]


@pytest.mark.parametrize("size", [0, 40, len(BODY) - 1])
def test_an_upload_that_stands_still_is_ended(server: Process, size: int) -> None:
    before, begin = stored(server), time.monotonic()
    with connect(server) as connection:
        connection.sendall(HEAD % len(BODY) + BODY[:size])
        answer = rest(connection)
    assert answer.startswith(b"HTTP/1.1 408")
    assert b'"code":"too-slow"' in answer
    assert b"connection: close" in answer.lower()
    assert 1 < time.monotonic() - begin < 20
    assert stored(server) == before


def test_a_slow_line_that_keeps_the_rate_has_the_time_it_needs(server: Process) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (600, 500), np.uint8)
    body = BODY.replace(COVID, png(noise))
    with connect(server) as connection:
        begin = time.monotonic()
        connection.sendall(HEAD % len(body))
        for part in range(3):  # each is worth six seconds more
            connection.sendall(body[part * len(body) // 3 : (part + 1) * len(body) // 3])
            time.sleep(1 if part < 2 else 0)
        connection.settimeout(30)
        answer = connection.recv(65536)
    assert time.monotonic() - begin > 1.5
    assert answer.startswith(b"HTTP/1.1 200")


def test_a_trickle_is_ended_all_the_same(server: Process) -> None:
    before, begin = stored(server), time.monotonic()
    with connect(server) as connection:
        connection.sendall(HEAD % len(BODY))
        connection.settimeout(0.2)
        answer = b""
        for byte in BODY:
            try:
                connection.sendall(bytes([byte]))
                answer = connection.recv(65536)
                break
            except TimeoutError:
                continue
            except OSError:
                break
    assert answer.startswith(b"HTTP/1.1 408")
    assert time.monotonic() - begin < 20
    assert stored(server) == before


def test_small_bodies_have_their_time_too(server: Process) -> None:
    with connect(server) as connection:
        connection.sendall(JSON + b'{"name"')
        assert rest(connection).startswith(b"HTTP/1.1 408")


@pytest.mark.parametrize("size", [0, 40, 200, len(BODY) - 1])
def test_an_upload_that_breaks_off_leaves_nothing(server: Process, size: int) -> None:
    before = stored(server)
    with connect(server) as connection:
        connection.sendall(HEAD % len(BODY) + BODY[:size])
    time.sleep(0.3)
    assert stored(server) == before
    with server.client() as client:
        upload(client)


def test_a_whole_body_that_came_in_pieces_is_answered(server: Process) -> None:
    with connect(server) as connection:
        connection.sendall(HEAD.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n") % len(BODY))
        for start in range(0, len(BODY), 100):
            connection.sendall(BODY[start : start + 100])
        assert rest(connection).startswith(b"HTTP/1.1 200")


def test_slow_clients_hold_nobody_up(server: Process) -> None:
    """More of them than are worked on at once."""
    slow = [connect(server) for _ in range(80)]
    try:
        for connection in slow:
            connection.sendall(HEAD % len(BODY) + BODY[:50])
        begin = time.monotonic()
        with server.client() as client:
            upload(client)
        assert time.monotonic() - begin < 10
    finally:
        for connection in slow:
            connection.close()


def test_a_connection_without_a_request_is_closed(server: Process) -> None:
    """Also one that sends a header a second for ever."""
    begin = time.monotonic()
    with connect(server) as silent, connect(server) as trickle:
        trickle.settimeout(1)
        trickle.sendall(b"GET / HTTP/1.1\r\n")
        closed = False
        while not closed and time.monotonic() - begin < 40:
            try:
                trickle.sendall(b"X-A: b\r\n")
                closed = trickle.recv(100) == b""
            except TimeoutError:
                continue
            except OSError:
                closed = True
        assert closed
        assert silent.recv(100) == b""
