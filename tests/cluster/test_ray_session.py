"""Clusters that cannot be had, each with a clear word. What a real one does is in test_ray_engine.py.

`COVID_XRAY_RAY_TRAINING=1` is the long form: three pairs of a cluster and a token.
"""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from covid_xray.cluster.ray_session import Unreachable, check_reachable, connect, differences, versions
from covid_xray.errors import UsageError

HEAD = """
import sys
from ray.cluster_utils import Cluster
made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
print(made.address, flush=True)
sys.stdin.read()
made.shutdown()
"""
DRIVER = """
import sys
from covid_xray.cluster.ray_session import connect

class Seven:
    def get(self):
        return 7

with connect(sys.argv[1]) as ray:
    print(ray.get(ray.remote(Seven).remote().get.remote()))
"""
CASES = [("disabled", True), ("token", True), ("token", False)]  # the cluster asks for a token, this machine has one


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
        check_reachable(address)


@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_a_cluster_that_does_not_answer_is_named_at_once(scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        free = server.getsockname()[1]
    began = time.monotonic()
    with pytest.raises(Unreachable, match=f"{scheme}127.0.0.1:{free}"), connect(f"{scheme}127.0.0.1:{free}"):
        pass
    assert time.monotonic() - began < 20


def test_no_cluster_on_this_machine_is_said_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with socket.create_server(("127.0.0.1", 0)) as server:
        free = server.getsockname()[1]
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / "ray_current_cluster").write_text(f"127.0.0.1:{free}")  # of a cluster that has ended
    with pytest.raises(Unreachable, match="answers at auto"):
        check_reachable("auto")


def test_something_else_that_listens_there_is_no_cluster(other_server: int) -> None:
    with pytest.raises(Unreachable, match="No Ray cluster"):
        check_reachable(f"127.0.0.1:{other_server}")


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


@pytest.mark.parametrize(("there", "here"), CASES if os.environ.get("COVID_XRAY_RAY_TRAINING") else CASES[:1])
def test_the_token_of_another_cluster_does_no_harm(there: str, here: bool, tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / ".ray").mkdir(parents=True)
    token = "0" * 64
    (home / ".ray" / "auth_token").write_text(token)
    quiet = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    head = {**quiet, "HOME": str(home), "RAY_AUTH_MODE": there}
    mine = {**quiet, "HOME": str(home if here else tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-c", HEAD], env=head, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdin
        assert server.stdout
        address = server.stdout.readline().strip()
        ran = subprocess.run(
            [sys.executable, "-c", DRIVER, address], env=mine, capture_output=True, text=True, check=False, timeout=120
        )
        server.stdin.close()
    if here:
        assert (ran.returncode, ran.stdout) == (0, "7\n"), ran.stderr[-2000:]
    else:
        assert "needs a token" in ran.stderr
