"""Define options that several commands share, and import the terminal for them."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from covid_xray.cli.terminal import bar, err, messages, out, print_next, stages

__all__ = [
    "BundleFolder",
    "BundleFolders",
    "Data",
    "Engine",
    "Images",
    "LogLevel",
    "SiteFolder",
    "Tta",
    "bar",
    "err",
    "folder_option",
    "messages",
    "out",
    "print_next",
    "resumable",
    "stages",
]

Data = Annotated[Path, typer.Option("--data", help="Folder of class folders, or a CSV with image and label.")]
ConfigFile = Annotated[Path | None, typer.Option("--config", help="Settings as YAML or TOML.")]
SettingList = Annotated[list[str] | None, typer.Option("--set", help="A setting as key=value; repeatable.")]
SplitFile = Annotated[Path | None, typer.Option("--split", help="A split.csv to use as it is.")]
Images = Annotated[Path | None, typer.Option("--images", help="Folder of the images that a CSV names.")]
BundleFolder = Annotated[
    Path | None, typer.Option("--bundle", help="Folder of the bundle; default: the one shipped with the package.")
]
BundleFolders = Annotated[
    list[Path] | None,
    typer.Option("--bundle", help="Folder of a bundle; default: the one shipped. Given again: an ensemble of them."),
]
Tta = Annotated[
    int | None,
    typer.Option("--tta", min=1, max=10, help="Average over N mirrored and shifted copies; default: as calibrated."),
]
SiteFolder = Annotated[
    Path | None, typer.Option("--site", help="Site file of this hospital, or its folder (`covid-xray commission`).")
]
Engine = Annotated[
    Literal["local", "ray"], typer.Option("--engine", help="local: this machine; ray: a cluster, several at a time.")
]
LogLevel = Annotated[
    Literal["debug", "info", "warning", "error"], typer.Option("--log-level", help="debug, info, warning or error.")
]


@contextlib.contextmanager
def resumable(kept: str = "every finished epoch") -> Iterator[None]:
    """Turn Ctrl-C into exit code 130 and a line about what is kept and how to continue."""
    try:
        yield
    except KeyboardInterrupt:
        err.line(f"Stopped; {kept} is kept. To continue, run the same command with --resume.")
        raise typer.Exit(130) from None


def folder_option(help: str) -> Any:
    """Declare the option --output of a command that writes a folder; a file of this name is refused at once."""
    return typer.Option("--output", "-o", file_okay=False, help=help)
