"""A real Orthanc with its DICOMweb plugin, from Debian, on free ports of this machine, while a block runs."""

import contextlib
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
MISSING = "needs orthanc and orthanc-dicomweb: bash scripts/debian_packages.sh"


@dataclass(frozen=True)
class Orthanc:
    """Where it listens."""

    dicom: int
    http: int
    client: httpx.Client

    @property
    def web(self) -> str:
        return f"http://127.0.0.1:{self.http}/dicom-web"

    def instances(self) -> list[str]:
        return [*self.client.get("/instances").json()]

    def tags(self) -> list[dict[str, Any]]:
        """The tags of all that it holds."""
        return [self.client.get(f"/instances/{one}/simplified-tags").json() for one in self.instances()]

    def by_class(self) -> dict[str, int]:
        """How many objects of each modality."""
        found: dict[str, int] = {}
        for one in self.tags():
            found[one["Modality"]] = found.get(one["Modality"], 0) + 1
        return found

    def upload(self, data: bytes) -> None:
        self.client.post("/instances", content=data).raise_for_status()

    def file(self, instance: str) -> bytes:
        return self.client.get(f"/instances/{instance}/file").content


def installed() -> bool:
    return shutil.which("Orthanc") is not None and PLUGIN.exists()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextlib.contextmanager
def running(folder: Path, *, modalities: dict[str, Any] | None = None, **settings: Any) -> Iterator[Orthanc]:
    """An Orthanc that keeps its studies in `folder`; the same folder again is the same archive."""
    dicom, http = settings.pop("dicom", None) or free_port(), settings.pop("http", None) or free_port()
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "Name": "test",
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "Plugins": [str(PLUGIN)],
        "HttpPort": http,
        "DicomPort": dicom,
        "DicomAet": "ORTHANC",
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomAlwaysAllowStore": True,
        "DicomScuTimeout": 60,
        "DicomAlwaysAllowFind": True,
        "DicomModalities": modalities or {},
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
        **settings,
    }
    (folder / "orthanc.json").write_text(json.dumps(config))
    with (folder / "log.txt").open("a") as log:
        process = subprocess.Popen(["Orthanc", str(folder / "orthanc.json")], stdout=log, stderr=log)
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{http}", timeout=30, trust_env=False) as client:
                _wait(client, process, folder / "log.txt")
                yield Orthanc(dicom, http, client)
        finally:
            process.terminate()
            process.wait(30)


def _wait(client: httpx.Client, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(300):
        if process.poll() is not None:
            raise RuntimeError(log.read_text()[-2000:])
        with contextlib.suppress(httpx.HTTPError):
            if client.get("/system").status_code == 200:
                return
        time.sleep(0.1)
    raise RuntimeError("expected Orthanc to listen within 30 s")
