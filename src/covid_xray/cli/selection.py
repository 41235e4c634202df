"""Options that choose what of a data set is used, and the reading behind them: shared by all commands with --data."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from covid_xray.cli.console import bar, err

if TYPE_CHECKING:
    from covid_xray.data.manifest.manifest import Manifest

Run = Annotated[Path, typer.Argument(help="A run folder or a bundle.")]
RunOutput = Annotated[Path | None, typer.Option("--output", "-o", help="Folder; default: the run folder.")]
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
    Path | None, typer.Option("--duplicates", help="duplicates.csv: keep copies of a radiograph on one side.")
]


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
    """The manifest of `data` after the filters, every file checked; its summary is printed on stderr.

    Without `check` no file is opened: for commands that need a part only, and have `checked` look at that.
    """
    from covid_xray.data.manifest.manifest import read_manifest, select, summary

    with bar("index") as progress:
        manifest = read_manifest(data, images=images, check=check, progress=progress)
    if labels or where:
        manifest = select(manifest, labels=labels, where=where or ())
    if duplicates:
        manifest = _joined(manifest, duplicates)
    if show:
        err.print(summary(manifest), highlight=False, markup=False, soft_wrap=True)
    return manifest


def checked(manifest: "Manifest") -> "Manifest":
    """The rows whose files decode and are those that the table was written for, with hashes and facts of the files."""
    import dataclasses

    import pandas as pd

    from covid_xray.data.manifest.file_checks import check_files
    from covid_xray.data.manifest.manifest import quarantine_table
    from covid_xray.limits import Limits

    with bar("index") as progress:
        table, refused = check_files(manifest.table, manifest.root, limits=Limits(), progress=progress)
    quarantine = pd.concat([manifest.quarantine, quarantine_table(refused)], ignore_index=True)
    return dataclasses.replace(manifest, table=table.reset_index(drop=True), quarantine=quarantine)


def _joined(manifest: "Manifest", path: Path) -> "Manifest":
    from covid_xray.data.manifest.tables import read_table
    from covid_xray.data.split.groups import with_duplicates

    return with_duplicates(manifest, read_table(path, required=("group", "image")))
