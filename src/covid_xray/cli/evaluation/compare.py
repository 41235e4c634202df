"""Define the command `compare`: compare two evaluated networks on the same images."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from covid_xray.cli.console import err, messages
from covid_xray.cli.selection import WithTrained
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
    with_trained: WithTrained = False,
) -> None:
    """Compare two networks on the same images: paired intervals over patients, DeLong and McNemar tests."""
    from covid_xray.evaluation.model_comparison import compare as compared
    from covid_xray.evaluation.model_comparison import pair, read_unseen
    from covid_xray.files import write_json

    one, two = (read_unseen(run, with_trained=with_trained) for run in (first, second))
    facts = compared(pair(one[0], two[0]), rounds=rounds, seed=seed)
    facts = {"first": str(first), "second": str(second), "trained_images": [one[1], two[1]], **facts}
    target = output or (second if second.is_dir() else second.parent) / "comparison.json"
    write_json(target, facts)
    if as_json:
        if not is_stdout(target):
            typer.echo(json.dumps(facts, indent=2, ensure_ascii=False))
        return
    _print(facts, messages(target))
    _print_trained(facts)
    err.line(f"written: {target}")


def _print(facts: dict[str, Any], out: Terminal) -> None:
    who = "" if facts["patients"] is None else f" of {facts['patients']:,} patients"
    out.line(f"{facts['images']:,} images{who}; differences are second - first")
    shown = [*MAIN, *(f"{kind}/{name}" for kind in ("sensitivity", "specificity") for name in facts["classes"])]
    rows = {name: facts["figures"][name] for name in shown if name in facts["figures"]}
    for name, test in facts["delong"].items():
        rows[f"auroc/{name} (DeLong)"] = {**test, "ci_low": test["low"], "ci_high": test["high"]}
    width = max(map(len, rows))
    out.line(f"{'':{width}}   first  second  difference     95 % interval")
    for name, row in rows.items():
        out.line(f"{name:{width}}  {_format(row)}")
    for name, test in facts["delong"].items():  # on lines of their own, which no terminal cuts
        if test.get("p_holm") is not None:
            out.line(f"DeLong, AUROC of {name}: {_p(test['p_holm'])} (Holm)")
    test = facts["mcnemar"]
    out.line(
        f"McNemar: only the first right {test['only_first']}, only the second {test['only_second']}, {_p(test['p'])}"
    )
    for name, found in zip(("first", "second"), facts["guessing"], strict=True):
        if found and found["says"]:
            out.line(f"{name}: {found['says']}", style="bold red")
    for note in facts["notes"]:
        out.line(note)


def _print_trained(facts: dict[str, Any]) -> None:
    """State what was recognised in the two files as images that made the network, in red where it counts."""
    from covid_xray.evaluation.trained_images import kept_sentence, left_out_sentence

    for name, trained in zip(("first", "second"), facts["trained_images"], strict=True):
        for sentence, style in ((left_out_sentence(trained), None), (kept_sentence(trained), "bold red")):
            if sentence:
                err.line(f"{name}: {sentence}", style=style)


def _format(row: dict[str, Any]) -> str:
    span, mark = "too few", ""
    if row["ci_low"] is not None:
        span = f"{row['ci_low']:+.3f} to {row['ci_high']:+.3f}"
        mark = "" if row["ci_low"] <= 0 <= row["ci_high"] else " *"
    return f"{row['first']:6.3f}  {row['second']:6.3f}  {row['difference']:+10.3f}  {span:>16}{mark}"


def _p(value: float) -> str:
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"
