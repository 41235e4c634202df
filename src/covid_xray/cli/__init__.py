"""The command `covid-xray`: each command parses, calls one function and prints. Heavy imports stay inside it.

One file for each group of commands; `main` turns the exception tree into messages and exit codes.
"""

import sys
from typing import Annotated

import typer

from covid_xray import __version__
from covid_xray.cli import answers, data, demo, duplicates, training
from covid_xray.errors import CovidXrayError

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
answers.register(app)
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


def main() -> None:
    """Run the command line; exit codes: 0 ok, 2 usage, 3 input refused, 4 partly done, 1 anything else."""
    try:
        app()
    except CovidXrayError as error:
        typer.echo(f"covid-xray: {error.message}", err=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        typer.echo("covid-xray: stopped", err=True)
        sys.exit(130)
