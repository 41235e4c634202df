"""Servers for tests: one inside the test (`client`), or a real process on a loopback port (`Process`)."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
from fastapi.testclient import TestClient

from covid_xray.config import Serving
from covid_xray.inference.predictor import Predictor
from covid_xray.limits import Limits
from covid_xray.serving.app import create_app
from covid_xray.serving.service import Service
from covid_xray.store import audit_log
from covid_xray.store.records import AuditEntry
from support.bundles import grey, make_bundle
from support.drawing import png

HOST = "http://127.0.0.1"
COVID = png(grey("covid"))
NORMAL = png(grey("normal"))


@contextlib.contextmanager
def client(
    folder: Path,
    *,
    limits: Limits | None = None,
    facts: dict[str, Any] | None = None,
    peer: str = "testclient",
    **settings: Any,
) -> Iterator[TestClient]:
    """The application on a store in `folder`, without a process of its own; `service_of` gives what it holds.

    Args:
        folder: of bundle and store.
        limits: of uploads.
        facts: of the bundle.
        peer: the address that requests seem to come from.
        settings: of the server.
    """
    bundle = folder / "bundle"
    if not bundle.exists():
        make_bundle(bundle, **(facts or {}))
    predictor = Predictor(bundle, threads=1, limits=limits, untrusted=True)
    app = create_app(Serving(store=folder / "store", **settings), predictor)
    with TestClient(app, base_url=HOST, raise_server_exceptions=False, client=(peer, 50000)) as inside:
        yield inside


def service_of(inside: TestClient) -> Service:
    return inside.app.state.service


def audit_lines(inside: TestClient) -> list[AuditEntry]:
    """The audit log, oldest first."""
    return list(audit_log.every(service_of(inside).store.database))


def file(data: bytes = COVID, name: str = "chest.png") -> dict[str, tuple[str, bytes]]:
    """The multipart body of one upload."""
    return {"file": (name, data)}


def upload(inside: TestClient | httpx.Client, data: bytes = COVID, name: str = "chest.png", **more: Any) -> dict:
    """One study, as the API tells it."""
    answer = inside.post("/api/v1/predict", files=file(data, name), **more)
    assert answer.status_code == 200, answer.text
    return answer.json()


def wait_for_job(inside: TestClient | httpx.Client, place: str, *, seconds: float = 60) -> dict:
    """A batch when it is done."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        job = inside.get(place).json()
        if job["state"] == "done":
            return job
        time.sleep(0.05)
    raise AssertionError(f"expected the batch to end within {seconds} s. Received: {job}")


class Process:
    """`covid-xray serve` on a free loopback port; a context manager that ends it."""

    def __init__(self, folder: Path, *options: object, **environment: str) -> None:
        self.store, self.log = folder / "store", folder / "log"
        if not (folder / "bundle").exists():
            make_bundle(folder / "bundle")
        command = [sys.executable, "-m", "covid_xray", "serve", "--bundle", folder / "bundle", "--store", self.store]
        self._command = [str(part) for part in [*command, "--port", 0, "--threads", 1, *options]]
        self._environment = {**os.environ, "PYTHONWARNINGS": "error", "PYTHONUNBUFFERED": "1", **environment}
        self.process: subprocess.Popen[bytes] | None = None
        self.address = ""

    def __enter__(self) -> "Process":
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self._command, stdout=log, stderr=log, env=self._environment)
        begin = len(re.findall(r"at http\S+", self.text()))
        deadline = time.monotonic() + 120
        while True:
            found = re.findall(r"at (https?://\S+)", self.text())
            if len(found) > begin and self._answers(found[-1]):
                self.address = found[-1]
                return self
            assert self.process.poll() is None, self.text()
            assert time.monotonic() < deadline, self.text()
            time.sleep(0.05)

    def __exit__(self, *_: object) -> None:
        if self.process and self.process.poll() is None:
            self.process.kill()
        if self.process:
            self.process.wait()

    def text(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def client(self, **options: Any) -> httpx.Client:
        return httpx.Client(base_url=self.address, timeout=60, **options)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        assert self.process
        self.process.send_signal(how)
        return self.process.wait(timeout=60)

    def _answers(self, address: str) -> bool:
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(f"{address}/healthz", verify=False).status_code == 200
        return False
