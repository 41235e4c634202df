"""The arguments of `covid-xray predict` in, its job out, without the command-line library.

Typer and what it imports take a quarter of a second, as long as everything else that `predict` does for one image. So
plain arguments are read here; whatever is unusual (help, abbreviations, mistakes) is left to typer, and
`tests/cli/inference/test_predict_args.py` holds the two against each other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from covid_xray import clinical

_FLAGS = {
    "--json": "json",
    "--csv": "csv",
    "--heatmap": "heatmap",
    "--resume": "resume",
    "--untrusted": "untrusted",
}
_PATHS = {
    "-o": "output",
    "--output": "output",
    "--bundle": "bundle",
    "--report": "report",
    "--clinical": "clinical_table",
}
_STATED = {**clinical.OPTIONS, "--symptoms": "symptoms"}
_WORDS = {"--engine": "engine", "--precision": "precision", **_STATED}


@dataclass(frozen=True)
class Job:
    """What `predict` was asked for; the names are those of its options, clinical ones by field in `stated`."""

    paths: tuple[str, ...]
    output: Path | None = None
    bundle: Path | None = None
    json: bool = False
    csv: bool = False
    heatmap: bool = False
    resume: bool = False
    report: Path | None = None
    engine: str = "onnxruntime"
    precision: str = "float32"
    untrusted: bool = False
    clinical_table: Path | None = None
    stated: Mapping[str, str] = field(default_factory=dict)

    @property
    def results(self) -> Path | None:
        """The file that the rows go to."""
        return self.output / ("predictions.jsonl" if self.json else "predictions.csv") if self.output else None


def plain_job(arguments: Sequence[str]) -> Job | None:
    """The job in the arguments after `covid-xray`; `None` when typer must look at them."""
    if list(arguments[:1]) != ["predict"]:
        return None
    paths: list[str] = []
    values: dict[str, Any] = {}
    waiting = list(arguments[1:])
    while waiting:
        word = waiting.pop(0)
        name = _FLAGS.get(word) or _PATHS.get(word) or _WORDS.get(word)
        if not word.startswith("-"):
            paths.append(word)
        elif name is None or name in values:
            return None
        elif word in _FLAGS:
            values[name] = True
        elif not waiting or waiting[0].startswith("-"):
            return None
        else:
            values[name] = Path(waiting.pop(0)) if word in _PATHS else waiting.pop(0)
    stated = {name: values.pop(name) for name in _STATED.values() if name in values}
    return Job(paths=tuple(paths), **values, stated=stated) if paths else None


def stated(options: Mapping[str, Any]) -> dict[str, str]:
    """The clinical options among the options of a command that were given."""
    return {name: options[name] for name in _STATED.values() if options.get(name) is not None}
