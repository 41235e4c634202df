"""Sample processor seconds and peak memory of all child processes while something runs."""

import os
import threading
import time
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")
SAMPLE_SECONDS = 0.25
MEMORY_EVERY = 2  # samples; reading the memory of a process costs time


class Meter(threading.Thread):
    """Sample in a thread: `start` it, and `stop` it when the work is done.

    `cpu` holds processor seconds by process id (of ended processes the last sample); `peak` the largest proportional
    set size in MiB of one process of each kind; `own` the processor seconds of the sampling itself.
    """

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.cpu: dict[int, float] = {}
        self.peak = {"driver": 0.0, "worker": 0.0, "decoder": 0.0, "other": 0.0}
        self.own = 0.0
        self._over = threading.Event()
        self._count = 0

    def run(self) -> None:
        """Sample until `stop` is called."""
        while not self._over.wait(SAMPLE_SECONDS):
            self.sample()
            self.own = time.thread_time()

    def stop(self) -> None:
        """Take the last sample and end the thread."""
        self._over.set()
        self.join()
        self._count = 0
        self.sample()

    def sample(self) -> None:
        """Sample every process once."""
        with_memory = self._count % MEMORY_EVERY == 0
        self._count += 1
        for pid in below(os.getpid()):
            try:
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                self.cpu[pid] = (int(fields[11]) + int(fields[12])) / TICK
                if with_memory:
                    self._weigh(pid)
            except OSError:  # it has ended
                continue

    def _weigh(self, pid: int) -> None:
        kind = _kind(pid, Path(f"/proc/{pid}/cmdline").read_bytes())
        memory = Path(f"/proc/{pid}/smaps_rollup").read_text()
        pss = next((int(line.split()[1]) for line in memory.splitlines() if line.startswith("Pss:")), 0) / 1024
        self.peak[kind] = max(self.peak[kind], pss)


def _kind(pid: int, command: bytes) -> str:
    if pid == os.getpid():
        return "driver"
    if b"covid_xray.images.decoding_child" in command:
        return "decoder"
    return "worker" if b"spawn_main" in command or b"ray::MapWorker" in command else "other"


def below(pid: int) -> list[int]:
    """Return the ids of a process and of all its descendants."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            children.setdefault(int(path.read_text().rpartition(")")[2].split()[1]), []).append(int(path.parent.name))
        except OSError:
            continue
    found, waiting = [pid], [pid]
    while waiting:
        more = children.get(waiting.pop(), [])
        found += more
        waiting += more
    return found
