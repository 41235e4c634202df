"""What starts, starts light: no command imports what only training needs, and the base install stays small."""

import importlib.metadata
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import covid_xray
from support.bundles import grey, make_bundle
from support.drawing import png

HEAVY = [
    "tensorflow",
    "keras",
    "pandas",
    "sklearn",
    "matplotlib",
    "seaborn",
    "scipy",
    "cv2",
    "jinja2",
    "imagehash",
    "onnx",
]
GOAL = 250e6  # bytes of the base install


def imported(*arguments: object) -> set[str]:
    """Top-level modules after a command ran to its end in a fresh interpreter."""
    program = """
import json, sys
from covid_xray.cli import main
try:
    main()
except SystemExit as stop:
    assert not stop.code, stop.code
print("modules:" + json.dumps(sorted({name.partition(".")[0] for name in sys.modules})), file=sys.stderr)
"""
    command = [sys.executable, "-c", program, *map(str, arguments)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stderr
    return set(json.loads(ran.stderr.rpartition("modules:")[2]))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("bundles") / "bundle")


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["predict", "--help"], ["train", "--help"]], ids=" ".join
)
def test_help_is_light(arguments: list[str]) -> None:
    found = imported(*arguments)
    assert found & {*HEAVY, "numpy", "PIL", "onnxruntime", "pydicom"} == set()


def test_info_is_light(bundle: Path) -> None:
    assert imported("info", "--bundle", bundle) & {*HEAVY, "onnxruntime", "pydicom"} == set()


@pytest.mark.parametrize("form", [[], ["--json"], ["--csv"]], ids=["table", "json", "csv"])
def test_predict_is_light(bundle: Path, tmp_path: Path, form: list[str]) -> None:
    (tmp_path / "a.png").write_bytes(png(grey("covid")))
    found = imported("predict", tmp_path / "a.png", "--bundle", bundle, *form)
    assert "onnxruntime" in found
    assert found & {*HEAVY, "pydicom", "yaml", "openvino"} == set()
    if form:
        assert "rich" not in found


def test_heat_maps_are_light(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(grey("covid")))
    assert imported("explain", tmp_path / "a.png", "--bundle", bundle, "-o", tmp_path / "out") & {*HEAVY} == set()


def test_the_package_itself_imports_nothing() -> None:
    program = "import covid_xray, sys; print(*sorted(name for name in sys.modules))"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert not set(ran.stdout.split()) & {*HEAVY, "numpy", "PIL", "onnxruntime", "typer", "rich"}


def test_public_names() -> None:
    from covid_xray.inference.predictor import Predictor

    assert covid_xray.Predictor is Predictor
    assert set(covid_xray.__all__) <= set(dir(covid_xray))
    for name in covid_xray.__all__:
        assert getattr(covid_xray, name) is not None
    with pytest.raises(AttributeError, match="Nothing"):
        covid_xray.Nothing  # noqa: B018


def test_the_example_of_the_package_works(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:  # type: ignore[no-untyped-def]
    lines = covid_xray.__doc__.split("\n\n")[1:3]
    example = "\n".join(line.removeprefix("    ") for line in "\n".join(lines).splitlines())
    (tmp_path / "a.png").write_bytes(png(grey("covid")))
    (tmp_path / "b.dcm").write_bytes(png(grey("normal")))
    monkeypatch.chdir(tmp_path)
    exec(example.replace('"runs/x/bundle"', repr(str(bundle))), {})
    printed = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in printed] == [["a.png", "covid"], ["b.dcm", "normal"]]


def closure(name: str) -> set[str]:
    """Names of everything that `pip install name` without extras brings here."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        this = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if this in found:
            continue
        found.add(this)
        for text in importlib.metadata.requires(this) or ():
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(requirement.name)
    return found


def test_the_base_install_is_small() -> None:
    names = closure("covid-xray")
    assert {"numpy", "onnxruntime", "pillow", "pydicom", "typer"} <= names
    assert not names & {
        "tensorflow",
        "tensorflow-cpu",
        "keras",
        "pandas",
        "scikit-learn",
        "matplotlib",
        "scipy",
        "onnx",
    }
    sizes = {}
    for name in names:
        files = importlib.metadata.distribution(name).files or []
        paths = [Path(str(file.locate())) for file in files if file.suffix != ".pyc"]
        sizes[name] = sum(path.stat().st_size for path in paths if path.is_file())
    source = Path(covid_xray.__file__).parent  # here the package itself is installed as a link to its source
    sizes["covid-xray"] += sum(path.stat().st_size for path in source.rglob("*") if path.suffix not in ("", ".pyc"))
    assert sizes["numpy"] > 10e6
    total = sum(sizes.values())
    assert total <= GOAL, {name: f"{size / 1e6:.0f} MB" for name, size in sorted(sizes.items(), key=lambda s: -s[1])}
