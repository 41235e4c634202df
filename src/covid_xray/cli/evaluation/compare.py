"""Define the command `compare`: compare two evaluated networks on the same images."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from covid_xray.cli.console import err, messages
from covid_xray.cli.terminal import Terminal
from covid_xray.files import is_stdout

MAIN = ("accuracy", "balanced_accuracy", "macro_f1", "auroc_macro", "nll", "brier", "ece")


def register(app: typer.Typer) -> None:
    """Add the commands of this file to `app`."""
    app.command()(compare)


def compare(
    first: Annotated[Path, typer.Argument(help="A run folder that was evaluated, or a predictions.csv.")],
    second: Annotated[Path, typer.Argument(help="Another, with scores for the same images.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", dir_okay=False, help="File; default: comparison.json in the folder of SECOND."),
    ] = None,
    rounds: Annotated[int, typer.Option("--rounds", min=10, help="Bootstrap rounds of the intervals.")] = 1000,
    seed: Annotated[int, typer.Option("--seed", help="Of the bootstrap.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print comparison.json instead of a table.")] = False,
) -> None:
    """Compare two networks on the same images: paired intervals over patients, DeLong and McNemar tests."""
    from covid_xray.evaluation.model_comparison import compare as compared
    from covid_xray.evaluation.model_comparison import pair, read_run
    from covid_xray.files import write_json

    facts = compared(pair(read_run(first), read_run(second)), rounds=rounds, seed=seed)
    facts = {"first": str(first), "second": str(second), **facts}
    target = output or (second if second.is_dir() else second.parent) / "comparison.json"
    write_json(target, facts)
    if as_json:
        if not is_stdout(target):
            typer.echo(json.dumps(facts, indent=2, ensure_ascii=False))
        return
    _print(facts, messages(target))
    err.line(f"written: {target}")


def _print(facts: dict[str, Any], out: Terminal) -> None:
    who = "" if facts["patients"] is None else f" of {facts['patients']:,} patients"
    out.line(f"{facts['images']:,} images{who}; differences are second - first")
    table = _table("", "first", "second", "difference", "95 % interval")
    shown = [*MAIN, *(f"{kind}/{name}" for kind in ("sensitivity", "specificity") for name in facts["classes"])]
    for name in shown:
        if name in facts["figures"]:
            _figure(table, name, facts["figures"][name])
    for name, test in facts["delong"].items():
        ends = {"ci_low": test["low"], "ci_high": test["high"]}
        _figure(table, f"auroc/{name} (DeLong)", {**test, **ends}, p=test.get("p_holm"))
    out.print(table)
    test = facts["mcnemar"]
    out.line(
        f"McNemar: only the first right {test['only_first']}, only the second {test['only_second']}, {_p(test['p'])}"
    )
    for note in facts["notes"]:
        out.line(note)


def _table(*heads: str) -> Any:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for number, head in enumerate(heads):
        table.add_column(head, justify="right" if number else "left", no_wrap=True)
    table.add_column("")
    return table


def _figure(table: Any, name: str, row: dict[str, Any], *, p: float | None = None) -> None:
    span, mark = "too few", ""
    if row["ci_low"] is not None:
        span = f"{row['ci_low']:+.3f} to {row['ci_high']:+.3f}"
        mark = "" if row["ci_low"] <= 0 <= row["ci_high"] else "*"
    mark = mark if p is None else f"{mark} {_p(p)} (Holm)".strip()
    table.add_row(name, f"{row['first']:.3f}", f"{row['second']:.3f}", f"{row['difference']:+.3f}", span, mark)


def _p(value: float) -> str:
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"
