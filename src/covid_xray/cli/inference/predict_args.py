"""Parse the arguments of `covid-xray predict` without the command-line library.

Typer and what it imports take a quarter of a second, as long as everything else that `predict` does for one image. So
plain arguments are parsed here; anything unusual (help, abbreviations, mistakes) is left to typer, and
`tests/cli/inference/test_predict_args.py` compares the two.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from covid_xray import clinical
from covid_xray.errors import UsageError

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
    "--site": "site",
    "--report": "report",
    "--clinical": "clinical_table",
}
_CLINICAL = {**clinical.OPTIONS, "--symptoms": "symptoms"}
_WORDS = {"--engine": "engine", "--precision": "precision", "--tta": "tta", **_CLINICAL}
ENSEMBLES = {"evaluate", "predict", "score"}  # commands that take several bundles
_MAY_BE_EMPTY = {*_CLINICAL, "--title"}  # an empty clinical value is an unknown one


@dataclass(frozen=True)
class PredictRequest:
    """The options of `predict` under their own names, and the clinical ones by field in `clinical_values`."""

    paths: tuple[str, ...]
    output: Path | None = None
    bundle: tuple[Path, ...] = ()  # several answer together; none: the one that ships
    site: Path | None = None
    json: bool = False
    csv: bool = False
    heatmap: bool = False
    resume: bool = False
    report: Path | None = None
    engine: str = "onnxruntime"
    precision: str = "float32"
    untrusted: bool = False
    tta: int | None = None
    clinical_table: Path | None = None
    clinical_values: Mapping[str, str] = field(default_factory=dict)

    @property
    def results(self) -> Path | None:
        """Return the file of the result rows."""
        return self.output / ("predictions.jsonl" if self.json else "predictions.csv") if self.output else None


def refuse_empty(arguments: Sequence[str]) -> None:
    """Refuse empty paths, which would mean the current folder: most often an unset variable of a shell script.

    Raises:
        UsageError: an argument or the value of an option is empty, other than a clinical value or a title.
    """
    for before, argument in zip(("", *arguments), arguments, strict=False):
        option, equals, value = argument.partition("=")
        if argument and not (equals and not value and option.startswith("--")):
            continue
        name = option or (before if before.startswith("-") and before not in _FLAGS else "")
        if name not in _MAY_BE_EMPTY:
            problem = f"{name} has an empty value" if name else "An empty path was given"
            raise UsageError(f'{problem}. Give a file or folder; "." means the current folder.')


def refuse_several(arguments: Sequence[str]) -> None:
    """Refuse `--bundle` given again where it would be ignored. Raises `UsageError`."""
    given = sum(word == "--bundle" or word.startswith("--bundle=") for word in arguments)
    if given > 1 and not ENSEMBLES & set(arguments[:1]):
        raise UsageError(
            f"--bundle was given {given} times. Several bundles answer together in "
            f"{', '.join(sorted(ENSEMBLES))}; give {arguments[0]} one."
        )


def parse_plain(arguments: Sequence[str]) -> PredictRequest | None:
    """Parse the arguments after `covid-xray`; `None` where typer must parse them."""
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
        elif name is None or (name in values and name != "bundle"):
            return None
        elif word in _FLAGS:
            values[name] = True
        elif not waiting or waiting[0].startswith("-") or (name == "tta" and not waiting[0].isdecimal()):
            return None
        elif name == "bundle":
            values[name] = (*values.get(name, ()), Path(waiting.pop(0)))
        else:
            kind = Path if word in _PATHS else int if name == "tta" else str
            values[name] = kind(waiting.pop(0))
    stated = clinical_values(values)
    plain = {name: value for name, value in values.items() if name not in stated}
    return PredictRequest(paths=tuple(paths), **plain, clinical_values=stated) if paths else None


def clinical_values(options: Mapping[str, Any]) -> dict[str, str]:
    """Select the clinical options that were given."""
    return {name: options[name] for name in _CLINICAL.values() if options.get(name) is not None}
