"""The configuration of the documentation with Debian's Orthanc: an image is routed, its results come back."""

import json
import re
from pathlib import Path

import pytest
import yaml

from covid_xray.config import load
from covid_xray.pacs.settings import Pacs
from support import nodes, orthanc, studies
from support.chests import chest

PAGES = Path(__file__).parents[2] / "docs"
FOLDER = PAGES / "how-to" / "pacs"
PIXELS = chest(height=160, width=140, body=255, lung=85)


def test_images_are_routed_and_results_come_back(tmp_path: Path) -> None:
    if not orthanc.installed():
        pytest.skip(orthanc.MISSING)
    bundle = studies.make_lung_bundle(tmp_path / "bundle")
    archive = json.loads((FOLDER / "orthanc.json").read_text())
    node = yaml.safe_load((FOLDER / "node.yaml").read_text())
    port = orthanc.free_port()
    for known in ("StorageDirectory", "IndexDirectory", "HttpPort", "DicomPort", "Plugins", "LuaScripts"):
        assert archive.pop(known)
    assert archive.pop("DicomModalities") == {"covid-xray": ["COVIDXRAY", "node", 11112]}
    own = {"LuaScripts": [str(FOLDER / "route.lua")], "modalities": {"covid-xray": ["COVIDXRAY", "127.0.0.1", port]}}
    with orthanc.running(tmp_path / "orthanc", **{**archive, "RemoteAccessAllowed": False, **own}) as running:
        peer = {**node["peers"]["archive"], "host": "127.0.0.1", "port": running.dicom}
        settings = {
            **node,
            "host": "127.0.0.1",
            "port": port,
            "peers": {"archive": peer},
            "share": 0.3,
            "study_quiet_seconds": 20,
        }
        with nodes.running(tmp_path / "node", bundle, **{**settings, "store": str(tmp_path / "store")}) as started:
            running.upload(studies.film(PIXELS))
            running.upload(studies.film(PIXELS, number=2, SOPClassUID=studies.CR))
            started.until(lambda: started.counts().get("deliveries sent") == 5)
            assert started.counts() == {"arrivals answered": 2, "deliveries sent": 5}  # and no result was routed again
        assert running.by_class() == {"DX": 1, "CR": 1, "OT": 2, "SR": 1, "SEG": 2}
        assert len(running.client.get("/studies").json()) == 1


def test_the_compose_file_names_what_is_there() -> None:
    services = yaml.safe_load((FOLDER / "compose.yaml").read_text())["services"]
    for service in services.values():
        for volume in service.get("volumes", []):
            if volume.startswith("./"):
                assert (FOLDER / volume.split(":")[0]).is_file()
    settings = load(Pacs, file=FOLDER / "node.yaml")
    assert settings.peer("archive").host in services
    assert f"/{settings.store.name}" in services["node"]["volumes"][0]
    assert (FOLDER / services["node"]["build"] / "Dockerfile").is_file()


def test_every_setting_and_reason_is_in_the_conformance_statement() -> None:
    page = (PAGES / "reference" / "conformance.md").read_text()
    told = set(re.findall(r"`([a-z0-9_]+)`", page.split("## Settings of the node")[1]))
    assert set(Pacs.model_fields) <= told
    assert set(Pacs.model_fields["peers"].annotation.__args__[1].model_fields) <= told  # type: ignore[union-attr]
    for code in ("not-a-radiograph", "for-processing", "not-a-chest", "not-frontal", "not-a-chest-picture"):
        assert f"`{code}`" in page
