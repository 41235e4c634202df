"""Build the typer application from the command modules."""

from typing import Annotated

import typer

from covid_xray import __version__
from covid_xray.cli import demo
from covid_xray.cli.data import dataset, duplicates
from covid_xray.cli.evaluation import audit, calibrate, commission, compare, outcomes
from covid_xray.cli.inference import predict
from covid_xray.cli.services import dicom, monitor, pacs, score, serve, user
from covid_xray.cli.training import crossval, fuse, lr_find, lungs, train, tune, wrap
from covid_xray.limits import set_limits

app = typer.Typer(
    name="covid-xray",
    help="Classify chest X-rays as COVID-19, normal or viral pneumonia. For research, never for diagnosis.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
dataset.register(app)
duplicates.register(app)
train.register(app)
lr_find.register(app)
lungs.register(app)
fuse.register(app)
outcomes.register(app)
calibrate.register(app)
commission.register(app)
crossval.register(app)
tune.register(app)
wrap.register(app)
compare.register(app)
audit.register(app)
predict.register(app)
score.register(app)
dicom.register(app)
serve.register(app)
user.register(app)
monitor.register(app)
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
    limit: Annotated[
        list[str] | None, typer.Option("--limit", help="A limit for files as name=value, such as pixels; repeatable.")
    ] = None,
) -> None:
    """Classify chest X-rays as COVID-19, normal or viral pneumonia. For research, never for diagnosis."""
    set_limits(limit or ())
