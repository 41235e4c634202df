"""Define the options that select images of a data set, and read the data set with them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
        manifest = read_manifest(data, images=images, check=check, progress=progress)
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
