"""Every command in the documentation is one that the program accepts, and the quick ones are run on phantoms."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main

from covid_xray.cli import app
from covid_xray.images.phantoms.dataset import draw_dataset
from support.commands import call

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
SKIPPED = ("results/", "decisions/")  # they state what was run, with the options of that day
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
PLACEHOLDER = re.compile(r"[\[\]<>|…]|\.\.\.|\b[A-Z][A-Z_]+\b.*\|")


def commands(page: Path) -> Iterator[str]:
    """Yield the lines of the page's shell blocks that begin with covid-xray, continued lines joined."""
    for language, text in BLOCK.findall(page.read_text(encoding="utf-8")):
        if language in ("", "sh", "bash", "shell", "console"):
            for line in re.sub(r"\\\n\s*", " ", text).splitlines():
                found = re.match(r"\s*(?:\$ )?(?:\w+=\S+ )*(covid-xray .*)", line)
                if found:
                    yield re.split(r"\s+#|\s[|&>;]", found[1])[0].strip()


ALL = [(str(page.relative_to(ROOT)), line) for page in PAGES for line in commands(page)
       if not any(part in str(page) for part in SKIPPED) and not PLACEHOLDER.search(line)]  # fmt: skip


def parsed(line: str) -> None:
    """Parse a command as click would, without running it."""
    group = typer.main.get_command(app)
    context = typer.Context(group, info_name="covid-xray")
    words = shlex.split(line)[1:]
    command = group
    while hasattr(command, "get_command") and words and not words[0].startswith("-"):
        found = command.get_command(context, words[0])
        if found is None:
            raise ValueError(f"no such command: {words[0]}")
        command, words = found, words[1:]
    context = typer.Context(command, info_name="covid-xray", parent=context)
    values, rest, _ = command.make_parser(context).parse_args(list(words))
    missing = [p.name for p in command.params if p.required and p.name not in values]
    if rest or missing:
        raise ValueError(f"left over: {rest}; missing: {missing}")


@pytest.mark.parametrize("page", sorted({page for page, _ in ALL}))
def test_commands_are_ones_that_the_program_accepts(page: str) -> None:
    wrong = []
    for line in [line for name, line in ALL if name == page]:
        try:
            parsed(line)
        except Exception as error:  # of typer's own click
            wrong.append(f"{line}: {error}")
    assert not wrong


def test_there_are_commands_to_look_at() -> None:
    assert len(ALL) > 60


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pages")
    draw_dataset(folder / "scans", patients=30, size=96)
    first = next((folder / "scans" / "images").rglob("*.png"))
    (folder / "chest.png").write_bytes(first.read_bytes())
    return folder


# Commands that need a network trained first, a server, a hospital or minutes are parsed above and tested elsewhere.
QUICK = ("index", "split", "info", "selftest", "predict", "explain")


@pytest.mark.parametrize("page", ["README.md", "docs/how-to/your-data.md", "docs/how-to/predict.md"])
def test_quick_commands_run_on_phantoms(page: str, phantoms: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(phantoms)
    for line in [line for name, line in ALL if name == page]:
        words = shlex.split(line)[1:]
        files = [word for word in words[1:] if not word.startswith("-")]
        here = all(Path(word).exists() for word in files if "/" in word or "." in word)
        if words[0] in QUICK and here:
            result = call(*words)
            assert result.exit_code in (0, 4), f"{line}: {result.output[-500:]} {result.exception}"
