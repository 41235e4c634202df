"""Options that commands share, and the terminal of `cli.terminal` under the name that they know it by."""

from pathlib import Path
from typing import Annotated

import typer

from covid_xray.cli.terminal import bar, err, out, stages

__all__ = ["BundleFolder", "Data", "Images", "bar", "err", "out", "stages"]

Data = Annotated[Path, typer.Option("--data", help="Folder of class folders, or a CSV with image and label.")]
Images = Annotated[Path | None, typer.Option("--images", help="Folder of the images that a CSV names.")]
BundleFolder = Annotated[
    Path | None, typer.Option("--bundle", help="Folder of the bundle; default: the one shipped with the package.")
]
