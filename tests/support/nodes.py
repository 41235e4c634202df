"""A DICOM node as users start it, `covid-xray pacs serve`, in a process of its own, and questions to its store."""

import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support.orthanc import free_port

CALLER = "MODALITY"


@dataclass
class Node:
    """One node and its settings."""

    folder: Path
    settings: dict[str, Any]
    bundle: Path
    process: subprocess.Popen[str] | None = None
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def port(self) -> int:
        return int(self.settings["port"])

    @property
    def config(self) -> Path:
        return self.folder / "node.json"

    @property
    def log(self) -> str:
        return (self.folder / "log.txt").read_text()

    def start(self) -> None:
        """Start it and wait until it listens."""
        self.config.write_text(json.dumps(self.settings))  # JSON is YAML
        before = self.log.count("listens at") if (self.folder / "log.txt").exists() else 0
        with (self.folder / "log.txt").open("a") as log:
            command = [sys.executable, "-m", "covid_xray", "pacs", "serve", "--threads", "1"]
            command += ["--config", str(self.config), "--bundle", str(self.bundle), "--log-level", "debug"]
            self.process = subprocess.Popen(command, stdout=log, stderr=log, text=True)
        self.until(lambda: self.log.count("listens at") > before, seconds=240)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Stop it; returns its exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(60)

    def counts(self) -> dict[str, int]:
        """`pacs status`, inside this process."""
        from covid_xray.config import load
        from covid_xray.pacs.settings import Pacs
        from covid_xray.pacs.work_queue import WorkQueue
        from covid_xray.store.store import open_database

        with contextlib.closing(open_database(load(Pacs, file=self.config).serving())) as database:
            return WorkQueue(database).count_states()

    def until(self, holds: Callable[[], bool], *, seconds: float = 60) -> None:
        """Wait until something holds; fails with the node's log when it never does."""
        ends = time.monotonic() + seconds
        while not holds():
            assert self.process is None or self.process.poll() is None, self.log[-3000:]
            assert time.monotonic() < ends, f"{self.counts()}\n{self.log[-3000:]}"
            time.sleep(0.05)

    def idle(self) -> bool:
        """Whether nothing waits."""
        counts = self.counts()
        return not counts.get("arrivals waiting") and not counts.get("deliveries waiting")


@contextlib.contextmanager
def running(folder: Path, bundle: Path, **settings: Any) -> Iterator[Node]:
    """A node on a store in `folder`, started; it is stopped after the block."""
    folder.mkdir(parents=True, exist_ok=True)
    known = {
        "store": str(folder / "store"), "port": free_port(), "callers": [CALLER], "retry_seconds": 0.2,
        "retry_longest": 2, "reserve_bytes": 0, **settings,
    }  # fmt: skip
    node = Node(folder, known, bundle)
    try:
        node.start()
        yield node
    finally:
        if node.process is not None and node.process.poll() is None:
            node.stop(signal.SIGKILL)


def stored(
    node: Node, files: list[Path], *, caller: str = CALLER, called: str = "COVIDXRAY"
) -> subprocess.CompletedProcess[str]:
    """Send files with dcmtk's storescu."""
    command = ["storescu", "-v", "-R", "-aet", caller, "-aec", called, "127.0.0.1", str(node.port), *map(str, files)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
