"""The command as a user meets it: light, documented, with the promised exit codes."""

import subprocess
import sys
from pathlib import Path

import pytest
import typer.main
import write_cli_reference

from covid_xray import cli
from covid_xray.errors import BadImage, CovidXrayError, PartlyDone, UsageError

ROOT = Path(__file__).parents[2]
HEAVY = ("tensorflow", "keras", "pandas", "sklearn", "matplotlib", "seaborn", "cv2", "onnxruntime")


def commands() -> dict:
    group = typer.main.get_command(cli.app)
    context = typer.Context(group, info_name="covid-xray")
    return {name: group.get_command(context, name) for name in group.list_commands(context)}


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom typer.testing import CliRunner\nfrom covid_xray.cli import app\n"
        "result = CliRunner().invoke(app, ['--help'])\nassert result.exit_code == 0, result.output\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_command_and_option_has_help() -> None:
    missing = [
        f"{name} {parameter.name}"
        for name, command in commands().items()
        for parameter in command.params
        if parameter.name != "help" and not getattr(parameter, "help", None)
    ]
    assert not missing
    assert not [name for name, command in commands().items() if not command.help]


def test_the_reference_page_says_what_the_commands_say() -> None:
    assert (ROOT / "docs" / "reference" / "cli.md").read_text(encoding="utf-8") == write_cli_reference.page()


def test_every_command_is_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert not [name for name in commands() if f"`{name}`" not in readme and f"covid-xray {name}" not in readme]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("u"), 2),
        (BadImage("i"), 3),
        (PartlyDone("p"), 4),
        (CovidXrayError("e"), 1),
        (KeyboardInterrupt(), 130),
    ],
)
def test_errors_become_a_line_and_an_exit_code(
    error: BaseException, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr(cli, "app", fail)
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == (
        f"covid-xray: {error}\n" if not isinstance(error, KeyboardInterrupt) else "covid-xray: stopped\n"
    )


def test_a_full_disk_is_a_line_and_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise OSError(28, "No space left on device", "runs/x/history.csv")

    monkeypatch.setattr(cli, "app", fail)
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 1
    assert "No space left on device: runs/x/history.csv" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["predict"], 2, "paths"),
        (["nonsense"], 2, "nonsense"),
        (["predict", "x.png", "--bundle", "nowhere"], 3, "covid-xray train"),
        (["predict", "x.png", "--json", "--csv"], 2, "--json and --csv exclude each other"),
        (["predict", ""], 2, "An empty path was given"),
        (["--version"], 0, ""),
    ],
)
def test_exit_codes(arguments: list[str], code: int, message: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "covid_xray", *arguments], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == code, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
