"""Wheel and source archive: built, checked, installed into an empty environment, and resolved for every Python."""

import json
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

import covid_xray
from support.datasets import draw_folders

ROOT = Path(__file__).parents[2]
TOOLS = Path(sys.executable).parent
VERSION = covid_xray.__version__
OFFLINE = "packages cannot be had from the registry"


def call(*words: object, **options: object) -> str:
    done = subprocess.run([*map(str, words)], check=False, capture_output=True, text=True, **options)  # type: ignore[call-overload]
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return str(done.stdout)


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("build", reason="the package build is not installed")
    folder = tmp_path_factory.mktemp("dist")
    call(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT)
    return folder


@pytest.fixture(scope="module")
def wheel(dist: Path) -> Path:
    return dist / f"covid_xray-{VERSION}-py3-none-any.whl"


@pytest.mark.slow
def test_both_archives_pass_the_checks_of_the_index(dist: Path, wheel: Path) -> None:
    assert call(TOOLS / "twine", "check", "--strict", *sorted(dist.iterdir())).count("PASSED") == 2
    assert "OK" in call(TOOLS / "check-wheel-contents", wheel)


@pytest.mark.slow
def test_the_archives_hold_the_package_and_nothing_else(dist: Path, wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert "covid_xray/bundle/default/model.onnx" in names
    assert "covid_xray/py.typed" in names
    assert {name.partition("/")[0] for name in names} == {"covid_xray", f"covid_xray-{VERSION}.dist-info"}
    with tarfile.open(dist / f"covid_xray-{VERSION}.tar.gz") as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    assert {"CITATION.cff", "CHANGELOG.md", "LICENSE", "README.md", "pyproject.toml"} <= inside
    assert not [name for name in inside if name.startswith(("tests", "docs", "runs"))]


@pytest.mark.slow
def test_an_empty_environment_runs_it(wheel: Path, tmp_path: Path) -> None:
    uv = TOOLS / "uv"
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "VIRTUAL_ENV"))}
    call(uv, "venv", "--python", sys.executable, tmp_path / "venv", env=environment)
    python = tmp_path / "venv" / "bin" / "python"
    done = subprocess.run(
        [uv, "pip", "install", "--python", python, wheel], capture_output=True, text=True, check=False
    )
    if done.returncode and re.search("fetch|connect|network|resolve host|dns", done.stderr, re.IGNORECASE):
        pytest.skip(OFFLINE)
    assert done.returncode == 0, done.stderr[-2000:]
    picture = next(draw_folders(tmp_path / "data", each=1).rglob("*.png"))
    command = tmp_path / "venv" / "bin" / "covid-xray"
    assert call(command, "--version", env=environment).strip() == f"covid-xray {VERSION}"
    assert "ok" in call(command, "selftest", env=environment).lower()
    row = json.loads(call(command, "predict", picture, "--json", env=environment, cwd=tmp_path))
    assert set(row["probabilities"] if isinstance(row, dict) else row[0]["probabilities"]) == {
        "covid",
        "normal",
        "virus",
    }


@pytest.mark.slow
@pytest.mark.parametrize("extra", ["", "[dicom]"])
def test_uvx_runs_the_wheel_file(wheel: Path, tmp_path: Path, extra: str) -> None:
    """As the page of the first run says, which names the file of this version."""
    page = (ROOT / "docs" / "getting-started" / "first-run.md").read_text()
    assert page.count(f"dist/{wheel.name}") == 3
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "VIRTUAL_ENV"))}
    command = [TOOLS / "uvx", "--python", sys.executable, "--from", f"{wheel}{extra}", "covid-xray", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env=environment)
    if done.returncode and re.search("fetch|connect|network|resolve host|dns", done.stderr, re.IGNORECASE):
        pytest.skip(OFFLINE)
    assert done.stdout.strip() == f"covid-xray {VERSION}", done.stderr[-2000:]


@pytest.mark.slow
@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
def test_dependencies_resolve_for_every_python(python: str, tmp_path: Path) -> None:
    extras = [word for extra in ("train", "serve", "pacs", "track") for word in ("--extra", extra)]
    command = [TOOLS / "uv", "pip", "compile", ROOT / "pyproject.toml", *extras]
    command += ["--python-version", python, "--quiet", "-o", tmp_path / "out"]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    if done.returncode and re.search("fetch|connect|network|dns", done.stderr, re.IGNORECASE):
        pytest.skip(OFFLINE)
    assert done.returncode == 0, done.stderr[-2000:]
    text = (tmp_path / "out").read_text()
    assert "onnxruntime==" in text
    assert "tensorflow" in text


def test_version_and_citation_agree_with_the_changelog() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == VERSION
    heads = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert heads[0] == VERSION
    recipe = yaml.safe_load((ROOT / "packaging" / "conda-forge" / "recipe.yaml").read_text())
    assert recipe["context"]["version"] == VERSION
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert [line.replace(" ", "") for line in recipe["requirements"]["run"][1:]] == dependencies


@pytest.mark.slow
def test_the_bill_of_materials_lists_what_the_image_holds(tmp_path: Path) -> None:
    pytest.importorskip("cyclonedx_py", reason="the package cyclonedx-bom is not installed")
    call(sys.executable, ROOT / "scripts" / "write_licences.py", "--sbom", tmp_path / "sbom.json")
    bill = json.loads((tmp_path / "sbom.json").read_text())
    assert bill["bomFormat"] == "CycloneDX"
    listed = {part["name"].lower() for part in bill["components"]}
    locked = set(re.findall(r"^(\S+)==", (ROOT / "requirements-image.lock").read_text(), re.MULTILINE))
    assert locked <= listed


def test_every_locked_package_has_its_licence() -> None:
    assert "licences" in call(sys.executable, ROOT / "scripts" / "write_licences.py", "--check")
