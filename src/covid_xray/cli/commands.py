"""The typer application: one file for each group of commands, each of which registers its own."""

from typing import Annotated

import typer

from covid_xray import __version__
from covid_xray.cli import (
    answers,
    auditing,
    calibrating,
    comparing,
    crossvalidating,
    data,
    demo,
    dicom,
    duplicates,
    fusing,
    lungs,
    outcome,
    pacs,
    scoring,
    serving,
    training,
    tuning,
)

app = typer.Typer(
    name="covid-xray",
    help="Chest X-rays as COVID-19, normal or viral pneumonia. For research, never for diagnosis.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
data.register(app)
duplicates.register(app)
training.register(app)
lungs.register(app)
fusing.register(app)
outcome.register(app)
calibrating.register(app)
crossvalidating.register(app)
tuning.register(app)
comparing.register(app)
auditing.register(app)
answers.register(app)
scoring.register(app)
dicom.register(app)
serving.register(app)
pacs.register(app)
demo.register(app)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"covid-xray {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Chest X-rays as COVID-19, normal or viral pneumonia. For research, never for diagnosis."""
