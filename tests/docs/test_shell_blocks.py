"""Every command in the documentation is one that the program accepts, and the quick ones are run on phantoms."""

import itertools
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main

from covid_xray.bundle import bundle
from covid_xray.cli import app
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


# Commands that need a network trained first, a server, a hospital or minutes are parsed above and tested elsewhere.
QUICK = ("index", "split", "duplicates", "doctor", "info", "selftest", "predict", "explain", "submit")
NEEDS_MORE = ("--age", "--temperature", "--clinical", "--source")  # a network with clinical values, a download
SLOW = ("duplicates", "doctor")
WRITTEN = ("-o", "--output", "--report", "--sheet")
SCANS = {"DIR", "DATA", "DIR_OR_CSV", "IMAGES"}  # what pages call the images of a reader


def runnable(page: str) -> list[list[str]]:
    """List the words of the page's quick commands, with the scans of the sandbox for the reader's own."""
    lines = [shlex.split(line)[1:] for name, line in ALL if name == page]
    quick = [words for words in lines if words[0] in QUICK and not set(NEEDS_MORE) & set(words)]
    return [["scans" if word in SCANS else word for word in words] for words in quick]


def missing(words: list[str], folder: Path) -> list[str]:
    """Name the files that a command reads and the sandbox does not have; globs and output files are none."""
    pairs = list(itertools.pairwise(words))
    read = [word for before, word in pairs if before not in WRITTEN and ("/" in word or "." in word)]
    read += [word for before, word in pairs if before == "--data"]
    return [word for word in read if not word.startswith("-") and not list(folder.glob(word.strip("/")))]


def test_quick_commands_run_on_phantoms(sandbox: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run all pages in one sandbox, in order, with a small network in place of the shipped one."""
    folder = shutil.copytree(sandbox, tmp_path / "sandbox")
    monkeypatch.chdir(folder)
    monkeypatch.setattr(bundle, "DEFAULT", folder / "runs" / "x" / "bundle")
    ran: list[str] = []
    pages = sorted({page for page, _ in ALL})
    for page, words in [(name, words) for name in pages for words in runnable(name)]:
        line = " ".join(words)
        again = line in ran or (words[0] in SLOW and any(one.startswith(words[0]) for one in ran))
        if again or missing(words, folder):
            continue
        shutil.rmtree("out", ignore_errors=True)
        result = call(*words)
        ran.append(line)
        assert result.exit_code in (0, 4), f"{page}: {line}: {result.output[-500:]} {result.exception}"
    assert {line.split()[0] for line in ran} >= {*QUICK} - {"explain", "submit"}
    assert len(ran) >= 12, ran
