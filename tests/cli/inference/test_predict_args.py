"""`predict` without typer understands exactly what typer understands, and leaves the rest to it."""

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from covid_xray.cli import app
from covid_xray.cli.inference import predict_args, predict_launch
from covid_xray.cli.inference.predict_args import PredictRequest, parse_plain
from support.bundles import grey, make_bundle
from support.commands import run
from support.drawing import png

PLAIN = [
    ["predict", "a.png"],
    ["predict", "a.png", "b c.png", "scans/*.png"],
    ["predict", "--json", "a.png"],
    ["predict", "a.png", "--csv", "-o", "out"],
    ["predict", "a.png", "--output", "out", "--heatmap", "--resume", "--report", "r.json", "b.png"],
    ["predict", "a.png", "--bundle", "a", "--csv", "--bundle", "b", "--tta", "4"],
    ["predict", "a.png", "--bundle", "runs/x/bundle", "--engine", "openvino", "--precision", "int8"],
    ["predict", "a.png", "--site", "site"],
    ["predict", "é\udcff.png", "[a].png", ""],
]
FOR_TYPER = [
    [],
    ["--help"],
    ["--version"],
    ["info"],
    ["predict"],
    ["predict", "--json"],
    ["predict", "--help"],
    ["predict", "a.png", "--help"],
    ["predict", "a.png", "--nonsense"],
    ["predict", "a.png", "--output=out"],
    ["predict", "a.png", "-oout"],
    ["predict", "a.png", "-o"],
    ["predict", "a.png", "-o", "--json"],
    ["predict", "--", "-a.png"],
    ["predict", "a.png", "-o", "x", "-o", "y"],
    ["predict", "a.png", "--json", "--json"],
    ["predict", "a.png", "--bund", "x"],
]


def through_typer(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> PredictRequest:
    jobs: list[PredictRequest] = []
    monkeypatch.setattr(predict_launch, "predict", jobs.append)
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    (job,) = jobs
    return job


@pytest.mark.parametrize("arguments", PLAIN, ids=repr)
def test_both_read_the_same(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert parse_plain(arguments) == through_typer(arguments, monkeypatch)


def test_every_option_of_the_command_is_known_here() -> None:
    import typer.main

    command = typer.main.get_command(app).commands["predict"]  # type: ignore[attr-defined]
    options = {option for parameter in command.params if parameter.name != "help" for option in parameter.opts}
    names = {parameter.name for parameter in command.params}
    known = {*predict_args._FLAGS, *predict_args._PATHS, *predict_args._WORDS}
    assert options - {"paths", "--help"} == known, names


@pytest.mark.parametrize("command", ["serve", "explain", "submit", "selftest", "info", "commission"])
def test_several_bundles_are_refused_where_only_one_answers(
    command: str, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    ran = run(capsysbinary, command, "--bundle", "a", "--bundle=b")
    assert (ran.code, ran.out) == (2, b"")
    assert f"evaluate, predict, score; give {command} one".encode() in ran.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["predict", ""],
        ["predict", "--json", ""],
        ["predict", "a.png", "-o", ""],
        ["predict", "a.png", "--bundle="],
        ["index", "--data", "", "-o", "m.csv"],
        ["index", "--data", "d", "--output="],
        ["score", "", "-o", "out"],
        ["evaluate", "", "--data", "d"],
        ["audit", "run", "--data", ""],
        ["serve", "--store", ""],
        ["pacs", "serve", "--config", ""],
        ["user", "add", ""],
    ],
    ids=repr,
)
def test_an_empty_path_never_means_the_current_folder(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.png").write_bytes(png(grey("covid")))
    ran = run(capsysbinary, *arguments)
    assert (ran.code, ran.out) == (2, b"")
    assert b"empty" in ran.err
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_an_empty_clinical_value_is_an_unknown_one() -> None:
    predict_args.refuse_empty(["predict", "a.png", "--age", "", "--symptoms=", "--set", "init="])


@pytest.mark.parametrize("arguments", FOR_TYPER, ids=repr)
def test_what_is_unusual_is_left_to_typer(arguments: list[str]) -> None:
    assert parse_plain(arguments) is None


def test_unusual_spellings_work_too(monkeypatch: pytest.MonkeyPatch) -> None:
    job = through_typer(["predict", "a.png", "--output=out", "--json"], monkeypatch)
    assert job == PredictRequest(paths=("a.png",), output=Path("out"), json=True)


def test_a_plain_prediction_does_not_import_typer(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "bundle")
    (tmp_path / "a.png").write_bytes(png(grey("covid")))
    program = "import sys\nfrom covid_xray.cli import main\nmain()\nprint(*sys.modules, file=sys.stderr)"
    command = [sys.executable, "-c", program, "predict", tmp_path / "a.png", "--json", "--bundle", bundle]
    ran = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=60, check=True)
    assert ran.stdout.count("\n") == 1
    assert not {"typer", "rich", "pydantic", "click"} & set(ran.stderr.split())
