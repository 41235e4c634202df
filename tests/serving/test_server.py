"""The listening process: who may be let in, one server for one store, an orderly end, nothing personal in its log."""

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from covid_xray.config import Serving
from covid_xray.errors import Busy, UsageError
from covid_xray.files import folder_lock
from covid_xray.serving import server
from covid_xray.store.accounts import Accounts
from covid_xray.store.store import open_database
from support.bundles import grey, make_bundle
from support.drawing import dicom, picture, png
from support.servers import COVID, Process, file, upload

CANARY = "CANARY^DOE"
TOKEN = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822c"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "xray.ward.example"])
def test_others_are_let_in_only_with_users_or_a_token(tmp_path: Path, host: str) -> None:
    with pytest.raises(UsageError, match="user or a token"):
        server.check_settings(Serving(store=tmp_path / "store", host=host))
    server.check_settings(Serving(store=tmp_path / "store", host=host, token=TOKEN))
    database = open_database(Serving(store=tmp_path / "store"))
    Accounts(database).add("doe", password="ten letters or more", role="reader")
    database.close()
    server.check_settings(Serving(store=tmp_path / "store", host=host))


def test_a_public_url_needs_a_user_or_a_token_too(tmp_path: Path) -> None:
    behind = Serving(store=tmp_path / "store", public_url="https://xray.ward.example")
    with pytest.raises(UsageError, match="public_url"):
        server.check_settings(behind)
    server.check_settings(behind.model_copy(update={"token": SecretStr(TOKEN)}))


@pytest.mark.parametrize("token", ["secret", "a" * 64, "0123456789abcdef" * 3, "covid-xray-token-of-the-server"])
def test_a_weak_token_is_refused(tmp_path: Path, token: str) -> None:
    with pytest.raises(UsageError, match="easy to guess"):
        server.check_settings(Serving(store=tmp_path / "store", token=token))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.8.8.8"])
def test_this_machine_is_let_in(tmp_path: Path, host: str) -> None:
    server.check_settings(Serving(store=tmp_path / "store", host=host))


def test_one_server_for_one_store(tmp_path: Path) -> None:
    with folder_lock(tmp_path / "store"), pytest.raises(Busy):
        server.check_settings(Serving(store=tmp_path / "store"))


def test_half_a_certificate_is_none(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="[Cc]ertificate"):
        server.check_settings(Serving(store=tmp_path / "store", certificate=tmp_path / "a.pem"))


def test_a_taken_port_is_told(tmp_path: Path) -> None:
    taken = server._listen(Serving(port=0))
    with taken, pytest.raises(UsageError, match="Cannot listen"):
        server._listen(Serving(port=taken.getsockname()[1]))


def test_a_stopped_server_answers_first_and_ends_well(tmp_path: Path) -> None:
    with Process(tmp_path) as running:
        answers = []
        noise = [png(grey("covid", height=400, width=400, seed=seed)) for seed in range(6)]

        def send(data: bytes) -> None:
            try:
                answer = httpx.post(f"{running.address}/api/v1/predict", files=file(data), timeout=60)
            except httpx.ConnectError:  # a thread of a busy machine that came after the end
                return
            answers.append(answer.status_code)

        threads = [threading.Thread(target=send, args=(data,)) for data in noise]
        for thread in threads:
            thread.start()
        time.sleep(0.3)
        assert running.stop() == 0
        for thread in threads:
            thread.join()
    assert answers == [200] * len(answers)
    assert "Application shutdown complete" in running.text()
    assert "Traceback" not in running.text()


def test_ctrl_c_ends_well(tmp_path: Path) -> None:
    with Process(tmp_path) as running:
        assert running.stop(signal.SIGINT) == 0


def test_no_name_reaches_the_log_at_debug(tmp_path: Path) -> None:
    """File names, tags, searches, notes, users: they are in the store and nowhere else."""
    everything = (
        "import logging, sys\n"
        "logging.basicConfig(level=logging.DEBUG, stream=sys.stderr)\n"
        "from covid_xray.serving import server\n"
        "loud = lambda level: [logging.getLogger(n).setLevel(level.upper()) for n in ('', 'covid_xray', 'uvicorn')]\n"
        "server.set_up_logging = loud\n"
        "from covid_xray.cli import main\n"
        "main()\n"
    )
    (tmp_path / "loud.py").write_text(everything)
    running = Process(tmp_path, "--log-level", "debug")
    running._command[1:3] = [str(tmp_path / "loud.py")]
    with running, running.client() as client:
        tagged = dicom(picture(bits=12), PatientName=CANARY, PatientID=CANARY, StudyDescription=CANARY)
        study = upload(client, tagged, f"{CANARY}.dcm")
        assert CANARY in study["name"]
        place = f"/api/v1/studies/{study['id']}"
        client.post("/api/v1/predict", files=file(tagged[:-99], f"{CANARY}.dcm"))
        client.post("/api/v1/predict", files=file(CANARY.encode(), f"{CANARY}.dcm"))
        client.post("/api/v1/batch", files=[("file", (f"{CANARY}.png", COVID)), ("file", (CANARY, b"PK\x03\x04"))])
        client.get("/api/v1/studies", params={"q": CANARY})
        client.get("/api/v1/studies", params={"sort": CANARY})
        client.get(f"/{CANARY}")
        client.get(f"/api/v1/studies/{CANARY}")
        client.get("/api/v1/studies.csv")
        client.post(f"{place}/feedback", json={"verdict": "disagree", "note": CANARY})
        client.post("/api/v1/login", json={"name": CANARY, "password": CANARY})
        client.get(f"{place}/image.png")
        client.get(f"{place}/report.pdf")
        client.get("/", headers={"Cookie": f"a={CANARY}", "X-Name": CANARY})
        metrics = client.get("/metrics").text
        running.stop()
    log = running.text()
    assert "CANARY" not in metrics
    assert "DEBUG" in log  # other packages did talk
    assert "/api/v1/predict 200" in log
    assert "CANARY" not in log


def test_the_address_is_refused_by_the_command_line(tmp_path: Path) -> None:
    make_bundle(tmp_path / "bundle")
    command = [sys.executable, "-m", "covid_xray", "serve", "--bundle", tmp_path / "bundle", "--store", tmp_path / "s"]
    ran = subprocess.run(
        [str(part) for part in [*command, "--host", "0.0.0.0"]], capture_output=True, timeout=120, check=False
    )
    assert ran.returncode == 2
    assert b"needs a user or a token" in ran.stderr
    assert b"Traceback" not in ran.stderr
