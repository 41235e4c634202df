"""Define the options that select images of a data set, and read the data set with them."""

import functools
import inspect
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from covid_xray.cli.console import bar, err, folder_option

if TYPE_CHECKING:
    from covid_xray.data.manifest.manifest import Manifest

Run = Annotated[Path, typer.Argument(help="A run folder or a bundle.")]
RunOutput = Annotated[Path | None, folder_option("Folder; default: the run folder.")]
PartName = Annotated[
    str | None, typer.Option("--part", help="train, val, test or all; default: test where there is one.")
]
Labels = Annotated[
    list[str] | None, typer.Option("--label", help="Keep this label (or source:label); repeat for more.")
]
Where = Annotated[
    list[str] | None, typer.Option("--where", help="Keep rows with column=value[,value] or column!=value; repeatable.")
]
Duplicates = Annotated[
    Path | None, typer.Option("--duplicates", help="duplicates.csv: keep copies of a radiograph in one part.")
]
WithTrained = Annotated[
    bool, typer.Option("--with-trained", help="Keep images that made the network in the figures, marked in red.")
]

Columns = Annotated[
    str | None, typer.Option("--columns", help="Columns of the table, such as image=path,label=Diagnosis.")
]
RenameLabels = Annotated[
    str | None,
    typer.Option("--rename-labels", help='New names of labels, such as "COVID=covid,Viral Pneumonia=virus".'),
]


@dataclass(frozen=True)
class TableWords:
    """Names of columns and labels in the user's table, as `read_manifest` takes them."""

    columns: Mapping[str, str] = field(default_factory=dict)
    rename: Mapping[str, str] = field(default_factory=dict)


_WARNINGS: ContextVar[list[str] | None] = ContextVar("_WARNINGS", default=None)
_WORDS: ContextVar[TableWords] = ContextVar("_WORDS", default=TableWords())  # noqa: B039 (frozen)


def table_words() -> TableWords:
    """Return what --columns and --rename-labels of the running command say."""
    return _WORDS.get()


def warn_of_lost(manifest: "Manifest") -> None:
    """Have the last line of the running command say that many files are quarantined, if they are."""
    from covid_xray.data.manifest.losses import describe_losses

    warnings, sentence = _WARNINGS.get(), describe_losses(manifest.table, manifest.quarantine)
    if warnings is not None and sentence:
        warnings.append(sentence)


def reads_table(command: Callable[..., None]) -> Callable[..., None]:
    """Add --columns and --rename-labels to a command with --data; `read` and `table_words` then know them."""

    @functools.wraps(command)
    def run(*, columns: str | None = None, rename_labels: str | None = None, **options: Any) -> None:
        from covid_xray.data.manifest.columns import parse_pairs

        words = TableWords(
            parse_pairs(columns, option="--columns"), parse_pairs(rename_labels, option="--rename-labels")
        )
        warnings: list[str] = []
        tokens = _WORDS.set(words), _WARNINGS.set(warnings)
        try:
            command(**options)
        finally:
            _WORDS.reset(tokens[0])
            _WARNINGS.reset(tokens[1])
            for warning in dict.fromkeys(warnings):
                err.print(warning, style="bold red", highlight=False, markup=False, soft_wrap=True)

    both = {"columns": Columns, "rename_labels": RenameLabels}
    added = [inspect.Parameter(n, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=a) for n, a in both.items()]
    signature = inspect.signature(command)
    given = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in signature.parameters.values()]
    run.__signature__ = signature.replace(parameters=[*given, *added])  # type: ignore[attr-defined]
    run.__annotations__ = {**command.__annotations__, **both}
    return run


def data_options(**options: Any) -> dict[str, Any]:
    """Return options that chose the data, with --columns and --rename-labels of the running command."""
    words = table_words()
    pairs = {"columns": words.columns, "rename_labels": words.rename}
    words_of = {name: ",".join(f"{a}={b}" for a, b in found.items()) or None for name, found in pairs.items()}
    return {**options, **words_of}


def read(
    data: Path,
    *,
    images: Path | None = None,
    labels: list[str] | None = None,
    where: list[str] | None = None,
    duplicates: Path | None = None,
    show: bool = True,
    check: bool = True,
) -> "Manifest":
    """Read the manifest of `data`, check every file, apply the filters and print a summary on stderr.

    Without `check` no file is opened: for commands that need only a part, and check it later with `check_rows`.
    """
    from covid_xray.data.manifest.manifest import read_manifest, select, summary

    with bar("index") as progress:
        words, needed = table_words(), {label.split(":")[-1] for label in labels} if labels else None
        manifest = read_manifest(
            data, images=images, columns=words.columns, rename=words.rename, needed=needed, check=check,
            progress=progress,
        )  # fmt: skip
    warn_of_lost(manifest)
    if labels or where:
        manifest = select(manifest, labels=labels, where=where or ())
    if duplicates:
        from covid_xray.data.manifest.tables import read_table
        from covid_xray.data.split.groups import with_duplicates

        manifest = with_duplicates(manifest, read_table(duplicates, required=("group", "image")))
    if show:
        err.line(summary(manifest))
    return manifest


def check_rows(manifest: "Manifest") -> "Manifest":
    """Keep the rows whose files decode and match the table; add hashes and facts of the files."""
    import dataclasses

    import pandas as pd

    from covid_xray.data.manifest.file_checks import check_files
    from covid_xray.data.manifest.manifest import quarantine_table
    from covid_xray.limits import Limits

    with bar("index") as progress:
        table, refused = check_files(manifest.table, manifest.root, limits=Limits(), progress=progress)
    quarantine = pd.concat([manifest.quarantine, quarantine_table(refused)], ignore_index=True)
    return dataclasses.replace(manifest, table=table.reset_index(drop=True), quarantine=quarantine)
