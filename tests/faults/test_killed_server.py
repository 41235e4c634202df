"""`covid-xray serve` killed with SIGKILL under load: every study and job that was confirmed is there, no file without.

Five kills by default; `COVID_XRAY_KILLS=50` is the long version.
"""

import io
import os
import random
import sqlite3
import threading
import time
import zipfile
from pathlib import Path

import httpx
import pytest

from support.bundles import GREYS, grey
from support.drawing import png
from support.servers import Process, wait_for_job

KILLS = int(os.environ.get("COVID_XRAY_KILLS", "5"))
CLIENTS = 8
IMAGES = [png(grey(label, seed=seed)) for label in GREYS for seed in range(4)]
pytestmark = pytest.mark.timeout(900 + 40 * KILLS)


class Load:
    """Clients that send as fast as they can and write down what was confirmed."""

    def __init__(self, address: str) -> None:
        self.address, self.studies, self.jobs, self.statuses = address, [], [], []
        self.stop = threading.Event()
        self.threads = [threading.Thread(target=self._send, args=(number,)) for number in range(CLIENTS)]

    def __enter__(self) -> "Load":
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        for thread in self.threads:
            thread.join()

    def _send(self, number: int) -> None:
        draw = random.Random(number)
        with httpx.Client(base_url=self.address, timeout=30) as client:
            while not self.stop.is_set():
                try:
                    if number == 0:
                        answer = client.post("/api/v1/batch", files={"file": ("a.zip", archive(draw))})
                    else:
                        answer = client.post("/api/v1/predict", files={"file": ("a.png", draw.choice(IMAGES))})
                except httpx.HTTPError:  # killed
                    return
                self.statuses.append(answer.status_code)
                if answer.status_code == 200:
                    self.studies.append(answer.json()["id"])
                elif answer.status_code == 202:
                    self.jobs.append(answer.json()["id"])
                    time.sleep(0.5)
                else:
                    time.sleep(0.05)


def archive(draw: random.Random) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as packed:
        for number in range(4):
            packed.writestr(f"{number}.png", draw.choice(IMAGES))
    return stream.getvalue()


def ids(store: Path) -> set[str]:
    with sqlite3.connect(store / "studies.sqlite") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        found = {row[0] for row in connection.execute("SELECT id FROM studies")}
    connection.close()
    return found


def test_nothing_confirmed_is_lost_and_nothing_else_is_left(tmp_path: Path) -> None:
    draw, studies, jobs, orphans = random.Random(7), [], [], 0
    for _ in range(KILLS):
        with Process(tmp_path) as server, Load(server.address) as load:
            deadline = time.monotonic() + 30
            while len(load.studies) < 3 and time.monotonic() < deadline:
                time.sleep(0.01)
            time.sleep(draw.uniform(0, 1.0))
            server.process.kill()
            server.process.wait()
        assert set(load.statuses) <= {200, 202, 503}, set(load.statuses)
        studies += load.studies
        jobs += load.jobs
        images = {path.stem for path in (server.store / "images").iterdir()}
        known = ids(server.store)
        assert set(studies) <= known
        assert known <= images
        orphans += len(images - known)
    with Process(tmp_path) as server, server.client() as client:
        done = [wait_for_job(client, f"/api/v1/jobs/{job}") for job in jobs]
        for study in random.Random(1).sample(studies, min(20, len(studies))):
            assert client.get(f"/api/v1/studies/{study}").status_code == 200
            assert client.get(f"/api/v1/studies/{study}/image.png").status_code == 200
        assert server.stop() == 0
    assert [job["answered"] for job in done] == [4] * len(jobs)
    answered = [item["study_id"] for job in done for item in job["items"]]
    assert len(set(answered)) == len(answered)
    known = ids(server.store)
    assert known >= {*studies, *answered}
    assert {path.name for path in (server.store / "images").iterdir()} == {f"{study}.png" for study in known}
    assert list((server.store / "inbox").iterdir()) == []
    print(f"{KILLS} kills: {len(studies)} studies and {len(jobs)} jobs confirmed, none lost; {orphans} orphans cleared")
