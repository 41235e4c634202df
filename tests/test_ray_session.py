"""Clusters that cannot be had, each with a clear word. What a real one does is in test_ray_engine.py."""

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from covid_xray.cluster.ray_session import Unreachable, connected, differences, knock, versions
from covid_xray.errors import UsageError


@pytest.fixture
def other_server() -> Iterator[int]:
    """A port at which something listens that is no Ray."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("address", ["nowhere", "host:", ":1", "ray://host", "host:port"])
def test_an_address_of_no_known_form(address: str) -> None:
    with pytest.raises(UsageError, match="HOST:PORT"):
        knock(address)


@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_a_cluster_that_does_not_answer_is_named_at_once(scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        free = server.getsockname()[1]
    began = time.monotonic()
    with pytest.raises(Unreachable, match=f"{scheme}127.0.0.1:{free}"), connected(f"{scheme}127.0.0.1:{free}"):
        pass
    assert time.monotonic() - began < 20


def test_something_else_that_listens_there_is_no_cluster(other_server: int) -> None:
    with pytest.raises(Unreachable, match="no answer"):
        knock(f"127.0.0.1:{other_server}")


def test_versions_are_compared_by_name() -> None:
    ours = versions()
    assert {"python", "ray", "onnxruntime", "covid-xray"} <= set(ours)
    assert not differences(ours, dict(ours))
    theirs = {**ours, "ray": "1.0"}
    theirs.pop("onnxruntime")
    assert differences(ours, theirs) == [
        f"onnxruntime missing there, {ours['onnxruntime']} here",
        f"ray 1.0 there, {ours['ray']} here",
    ]
