"""The container image without a container engine: the Dockerfile is linted, its steps are taken one by one, and what
they make runs as its user, on a read-only file system, with the environment of `compose.yaml` and a real PostgreSQL."""

import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from support.servers import COVID, upload

ROOT = Path(__file__).parents[2]
PREFIX = "/opt/covid-xray"
TOKEN = "a5Tn0-a-token-of-the-tests-that-nobody-guesses"


def instructions() -> list[tuple[str, str]]:
    """(`RUN`, its text) and so on; what belongs to one instruction in one line."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", " ", text).splitlines()
    found = [line.partition(" ") for line in lines if line.strip()]
    return [(word, rest.strip()) for word, _, rest in found]


def stages() -> list[list[tuple[str, str]]]:
    found: list[list[tuple[str, str]]] = []
    for word, rest in instructions():
        if word == "FROM":
            found.append([])
        found[-1].append((word, rest))
    return found


def of(stage: list[tuple[str, str]], word: str) -> list[str]:
    return [rest for name, rest in stage if name == word]


def compose() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"]


def test_nothing_to_complain_of() -> None:
    done = subprocess.run(
        [Path(sys.executable).parent / "hadolint", ROOT / "Dockerfile"], check=False, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_it_holds_what_the_lock_of_the_house_holds_and_no_training() -> None:
    def pins(name: str) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for package, version in re.findall(r"^(\S+)==(\S+)", (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE):
            found.setdefault(package, set()).add(version)
        return found

    image, house = pins("requirements-image.lock"), pins("requirements.lock")
    assert {"onnxruntime", "fastapi", "psycopg", "pynetdicom"} <= set(image)
    assert not {"tensorflow", "tensorflow-cpu", "keras", "pandas", "matplotlib", "pytest"} & set(image)
    assert all(versions <= house[package] for package, versions in image.items())


def test_compose_gives_away_nothing() -> None:
    server, database = compose()["covid-xray"], compose()["database"]
    assert server["read_only"] is True
    assert server["user"] == of(stages()[-1], "USER")[0] == "10001:10001"
    assert server["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in server["security_opt"]
    assert all(port.startswith("127.0.0.1:") for port in server["ports"])
    assert "ports" not in database
    assert database["networks"] == ["inside"]
    for service in (server, database):
        secrets = [value for key, value in service["environment"].items() if re.search("PASSWORD|TOKEN|DATABASE", key)]
        assert all("${" in value for value in secrets)


@pytest.fixture(scope="module")
def open_folder() -> Iterator[Path]:
    """A folder that every user may pass; those of pytest are for one."""
    folder = Path(tempfile.mkdtemp(dir="/var/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def installed(open_folder: Path) -> Path:
    """What the first stage leaves at `/opt/covid-xray`, elsewhere."""
    source, prefix = open_folder / "source", open_folder / "prefix"
    source.mkdir()
    python = Path(sys.base_prefix) / "bin"
    environment = {**os.environ, "PATH": f"{python}:/usr/bin:/bin", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    environment.pop("PYTHONPATH", None)
    for word, rest in stages()[0]:
        if word == "COPY":
            copy(rest.split(), source)
        elif word == "RUN":
            run = rest.replace(PREFIX, str(prefix)).replace("python -m venv", "python3 -m venv")
            done = subprocess.run(
                ["sh", "-ec", run], cwd=source, env=environment, check=False, capture_output=True, text=True
            )
            assert done.returncode == 0, done.stdout + done.stderr
    return prefix


def copy(words: list[str], folder: Path) -> None:
    """`COPY a b ./`, of what `.dockerignore` lets through."""
    let_through = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    *names, target = words
    for name in names:
        assert f"!{name}" in let_through
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, folder / target, ignore=ignored, dirs_exist_ok=True)
        else:
            shutil.copy(ROOT / name, folder / target)


@contextlib.contextmanager
def container(
    prefix: Path, folder: Path, *, database: str
) -> Iterator[tuple[subprocess.Popen[str], int, dict[str, str]]]:
    """The last stage as it would run: its user, its command, only `/data` and `/tmp` to write to. Needs root."""
    stage = stages()[-1]
    (user,) = of(stage, "USER")
    uid, gid = user.split(":")
    data, temporary, port = folder / "data", folder / "tmp", free_port()
    for path in (data, temporary):
        path.mkdir()
        os.chown(path, int(uid), int(gid))
    words = [*json.loads(of(stage, "ENTRYPOINT")[0]), *json.loads(of(stage, "CMD")[0])]
    words = [{"/data": str(data), "8000": str(port)}.get(word, word) for word in words]
    environment = environment_of(stage, prefix=prefix, temporary=temporary, database=database)
    # The Python of the tests may lie where only root looks: to look, not to write, is all that is kept.
    look = [
        "--inh-caps",
        "-all,+dac_read_search",
        "--ambient-caps",
        "-all,+dac_read_search",
        "--bounding-set",
        "-all,+dac_read_search",
    ]
    become = ["setpriv", "--reuid", uid, "--regid", gid, "--clear-groups", "--no-new-privs", *look]
    mounts = "".join(f"mount --bind {path} {path}\n" for path in (data, temporary))
    script = f"{mounts}mount -o remount,bind,ro /\ncd {data}\nexec {shlex.join([*become, *words])}"
    process = subprocess.Popen(
        ["unshare", "--mount", "sh", "-ec", script],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process, port, environment
    finally:
        process.kill()
        process.communicate()


def environment_of(stage: list[tuple[str, str]], *, prefix: Path, temporary: Path, database: str) -> dict[str, str]:
    """ENV of the Dockerfile, then that of `compose.yaml`."""
    base = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    for pair in shlex.split(" ".join(of(stage, "ENV"))):
        key, _, value = pair.partition("=")
        base[key] = value.replace(PREFIX, str(prefix)).replace("$PATH", base["PATH"])
    asked = compose()["covid-xray"]["environment"]
    told = {"COVID_XRAY_TOKEN": TOKEN, "COVID_XRAY_DATABASE": database}
    assert set(asked) == set(told)
    assert asked["COVID_XRAY_DATABASE"].startswith("postgresql+psycopg://")
    return {**base, **told, "HOME": str(temporary), "TMPDIR": str(temporary)}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def may_mount() -> bool:
    script = "mount -o remount,bind,ro /"
    return (
        os.geteuid() == 0
        and subprocess.run(["unshare", "--mount", "sh", "-c", script], check=False, capture_output=True).returncode == 0
    )


def wait_until_ready(process: subprocess.Popen[str], address: str) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()[0]
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{address}/readyz", timeout=5):
            return
        time.sleep(0.1)
    raise AssertionError("expected the server to be ready within a minute")


def test_what_is_installed_knows_no_training(installed: Path) -> None:
    python = installed / "bin" / "python"
    for name in ("tensorflow", "keras", "pytest", "pip"):
        assert subprocess.run([python, "-c", f"import {name}"], check=False, capture_output=True).returncode == 1, name
    told = subprocess.run([installed / "bin" / "covid-xray", "--version"], check=False, capture_output=True, text=True)
    assert told.returncode == 0, told.stderr


@pytest.mark.skipif(not may_mount(), reason="a small disk cannot be mounted here: that needs root and leave to mount")
def test_it_runs_as_its_user_on_a_read_only_system(installed: Path, open_folder: Path, postgresql: str) -> None:
    url = postgresql.replace("postgresql://", "postgresql+psycopg://")
    with container(installed, open_folder, database=url) as (process, port, environment):
        address = f"http://127.0.0.1:{port}"
        wait_until_ready(process, address)
        status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
        assert re.search(r"^Uid:\s+10001\s+10001", status, re.MULTILINE)
        with httpx.Client(base_url=address, timeout=60) as client:
            assert client.get("/api/v1/studies").status_code == 401
            client.headers["Authorization"] = f"Bearer {TOKEN}"
            study = upload(client, COVID + b"\0" * (2 << 20))  # more than a megabyte: it waits in /tmp
            assert client.get(f"/api/v1/studies/{study['id']}/report.pdf").content.startswith(b"%PDF")
        check = json.loads(of(stages()[-1], "HEALTHCHECK")[0].partition("CMD ")[2])
        check = [word.replace("8000", str(port)) for word in check]
        assert subprocess.run([installed / "bin" / "python", *check[1:]], env=environment, check=False).returncode == 0
        with pytest.raises(OSError, match="Read-only file system"):  # even for root
            Path(f"/proc/{process.pid}/root{installed}/new").touch()
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0
    kept = sorted(path.name for path in (open_folder / "data").iterdir())
    assert "images" in kept
    assert "studies.sqlite" not in kept  # its rows are in PostgreSQL
    assert len(list((open_folder / "data" / "images").glob("*.png"))) == 1
