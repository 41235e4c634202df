"""The command that reports whether images or answers have changed: monitor."""

import contextlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from covid_xray.cli.console import out
from covid_xray.errors import InputRefused

if TYPE_CHECKING:
    from covid_xray.inference.drift.checks import Result

ALARM_EXIT = 4
SQLITE = "studies.sqlite"


def register(app: typer.Typer) -> None:
    """Add the command of this file to `app`."""
    app.command()(monitor)


def monitor(
    store: Annotated[Path, typer.Argument(help="Folder of serve or pacs (--store), or results folder of score.")],
    against: Annotated[
        Path | None,
        typer.Option("--against", help="Of results: folder of the site, or other results, to compare with."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Report drift: whether a hospital's images or answers have changed. Exit code 4 while there is an alarm."""
    from covid_xray.inference.drift.reference import DRIFT_FILE

    if (store / DRIFT_FILE).is_file():
        facts = _results(store, against)
    elif (store / SQLITE).is_file() or os.environ.get("COVID_XRAY_DATABASE"):
        facts = _store(store)
    else:
        raise InputRefused(
            f"No store and no results in {store}. Give the folder of `serve`, `pacs serve` or `score`.",
            code="missing-file",
        )
    if as_json:
        typer.echo(json.dumps(facts, indent=2))
    else:
        _print(facts)
    if facts["alarm"]:
        raise typer.Exit(ALARM_EXIT)


def _store(store: Path) -> dict[str, Any]:
    from covid_xray.config import Serving
    from covid_xray.store.drift import monitor, rows
    from covid_xray.store.store import open_database

    settings = Serving(store=store, database=os.environ.get("COVID_XRAY_DATABASE"))
    with contextlib.closing(open_database(settings)) as database:
        model = rows.newest_model(database)
        found = monitor.status(database, model or "")
        counts = {
            kind: {str(day): names for day, names in days.items()} for kind, days in rows.counts(database).items()
        }
        return {**found.as_dict(), "model_sha256": model, "counts": counts}


def _results(results: Path, against: Path | None) -> dict[str, Any]:
    from covid_xray.inference.drift.checks import compare_references
    from covid_xray.inference.drift.reference import Reference

    seen = Reference.read(results)
    known = Reference.read(against) if against else None
    kind, found = compare_references(seen, known) if known else (None, [])
    words = f"{seen.images:,} images; nothing to compare them with: give --against SITE_OR_RESULTS."
    if known:
        tests = ", ".join(result.test for result in found if result.alarm)
        words = f"A change of {kind}. Tests: {tests}." if kind else "No alarm."
    facts = {"reference": str(against) if against else None, "ready": bool(known), "images": seen.images}
    return {**facts, "alarm": kind, "words": words, "newest": [_as_dict(one) for one in found], "checks": []}


def _as_dict(result: "Result") -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(result) | {"alarm": result.alarm}


def _print(facts: dict[str, Any]) -> None:
    out.print(facts["words"], highlight=False, soft_wrap=True, markup=False)
    for one in facts["newest"]:
        p = "" if one["p"] is None else f", p = {one['p']:.4g}"
        sign = "ALARM" if one["alarm"] else "ok"
        line = f"{sign:5}  {one['test']} against {one['against']}: {one['severity']:.2f} of the limit{p}"
        out.print(line, highlight=False, soft_wrap=True, markup=False)
