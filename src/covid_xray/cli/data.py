"""Commands about data sets: index, split (and, as they come, duplicates, doctor, baselines)."""

import typer


def register(app: typer.Typer) -> None:
    """Add the commands of this file to `app`."""
