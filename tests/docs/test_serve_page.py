"""What docs/how-to/serve.md shows runs against a real server, with curl and in Python; it names all settings."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from covid_xray.config import Serving
from support.servers import COVID, NORMAL, Process
from support.zips import archive

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "serve.md").read_text(encoding="utf-8")
EXAMPLES = dict(re.findall(r"<!-- run by .*? -->\n```(\w+)\n(.*?)```", PAGE, flags=re.DOTALL))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Process]:
    (tmp_path / "chest.png").write_bytes(COVID)
    (tmp_path / "a.png").write_bytes(NORMAL)
    (tmp_path / "scans.zip").write_bytes(archive({"b.png": COVID}))
    with Process(tmp_path) as running:
        yield running


def test_curl(server: Process, tmp_path: Path) -> None:
    ran = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", EXAMPLES["sh"]],
        cwd=tmp_path,
        env={**os.environ, "SERVER": server.address},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert '"label":"covid"' in ran.stdout
    assert '"state":"running"' in ran.stdout
    assert (tmp_path / "map.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "feedback.csv").read_text().startswith("image,label,")


def test_python(server: Process, tmp_path: Path) -> None:
    code = EXAMPLES["python"].replace("http://127.0.0.1:8000", server.address)
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith("covid {")
    with server.client() as client:
        page = client.get("/api/v1/studies").json()
    assert [study["verdict"] for study in page["studies"]] == ["agree"]


def test_the_store_from_python_beside_a_running_server(server: Process, tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference" / "store.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert ran.returncode == 0, ran.stderr
    identity, label, *_ = ran.stdout.split()
    with server.client() as client:
        study = client.get(f"/api/v1/studies/{identity}").json()
        assert (study["label"], study["origin"]) == (label, "EXAMPLE")
        assert client.get(f"/api/v1/studies/{identity}/image.png").status_code == 200
    assert server.stop() == 0


def test_every_setting_is_in_the_table() -> None:
    table = PAGE.partition("## Settings")[2].partition("## Watch")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert named == set(Serving.model_fields)
