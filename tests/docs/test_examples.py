"""Every name that the package exports has an example in its docstring, and the examples run."""

import doctest
import re
from pathlib import Path

import pytest

import covid_xray

NAMES = [name for name in covid_xray.__all__ if not name.startswith("_")]
COSTLY = {"train", "find_learning_rate", "evaluate"}  # training, and seconds of charts; tests/api runs them


def examples(name: str) -> list[doctest.DocTest]:
    found = doctest.DocTestFinder(recurse=False).find(getattr(covid_xray, name), name, globs={})
    return [test for test in found if test.examples]


@pytest.mark.parametrize("name", NAMES)
def test_the_example_of_a_name_runs(
    name: str, sandbox: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(sandbox)
    (test,) = examples(name)
    assert re.search(rf"from covid_xray import .*\b{name}\b", test.docstring or "")
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    failed, tried = runner.run(test, clear_globs=False)
    assert not failed, capsys.readouterr().out
    assert tried >= 2 or name in COSTLY
