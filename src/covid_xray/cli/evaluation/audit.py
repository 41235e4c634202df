"""Define the command `audit`: measure what hides behind a score, and test the heat maps."""

from pathlib import Path
from typing import Annotated, Any

import typer

from covid_xray.cli import selection
from covid_xray.cli.console import Data, Images, err, out, stages
from covid_xray.cli.selection import Duplicates, Labels, PartName, Run, RunOutput, Where, WithTrained
from covid_xray.errors import UsageError

Masks = Annotated[
    Path | None, typer.Option("--masks", help="Folder of lung masks named like the images; bright is lung.")
]
Lungs = Annotated[
    str, typer.Option("--lungs", help="files, network or box; auto takes the first of them that covers every image.")
]
Crossval = Annotated[Path | None, typer.Option("--crossval", help="crossval.json with sources left out in turn.")]
Heatmaps = Annotated[
    int, typer.Option("--heatmaps", min=0, help="Images that the heat maps are tested on; 0 for no such test.")
]
Others = Annotated[
    list[Path] | None, typer.Option("--other", help="A run of another seed, whose heat maps should agree; repeatable.")
]


def register(app: typer.Typer) -> None:
    """Add the commands of this file to `app`."""
    app.command()(selection.reads_table(audit))


def audit(
    run: Run,
    data: Data,
    output: RunOutput = None,
    images: Images = None,
    part: PartName = None,
    label: Labels = None,
    where: Where = None,
    duplicates: Duplicates = None,
    masks: Masks = None,
    lungs: Lungs = "auto",
    baselines: Annotated[Path | None, typer.Option("--baselines", help="baselines.json of this data set.")] = None,
    crossval: Crossval = None,
    sample: Annotated[int, typer.Option("--sample", min=40, help="Look at most at so many images.")] = 800,
    heatmaps: Heatmaps = 24,
    others: Others = None,
    rounds: Annotated[int, typer.Option("--rounds", min=10, help="Bootstrap rounds of the intervals.")] = 1000,
    seed: Annotated[int, typer.Option("--seed", help="Of sampling, bootstrap and random weights.")] = 0,
    with_trained: WithTrained = False,
) -> None:
    """Hide the lungs, or all but the lungs, and measure what is left of the score; then test the heat maps."""
    from covid_xray.bundle.bundle import bundle_folder, load_bundle
    from covid_xray.cli.evaluation.calibrate_gate import answered
    from covid_xray.cli.evaluation.evaluate import read_result, say
    from covid_xray.evaluation.audit.audit import Plan, write_audit
    from covid_xray.evaluation.audit.audit import audit as audited
    from covid_xray.evaluation.study import choose, without_trained
    from covid_xray.inference.predictor import Predictor

    if output is None and bundle_folder(run) == run:
        raise UsageError(f"No folder for the audit: {run} is a bundle without a run folder. Give one with -o FOLDER.")
    predictor = Predictor(run)
    manifest = selection.read(data, images=images, labels=label, where=where, duplicates=duplicates, show=False)
    known = answered(run, manifest)
    if len(known.table) < len(manifest.table):
        lost = len(manifest.table) - len(known.table)
        err.line(f"{lost:,} images left out: the network was trained on their labels and does not answer them")
    chosen, name = choose(known, run / "split.csv", part=part)
    chosen, trained = without_trained(run, chosen, part=part, taken=name, with_trained=with_trained, say=say)
    plan = Plan(
        part=name, masks=masks, lungs=lungs, images=sample, rounds=rounds, seed=seed,
        baselines=read_result(baselines, command="baselines"), crossval=read_result(crossval, command="crossval"),
        heatmaps=heatmaps, trained=trained, others=tuple(load_bundle(other) for other in others or ()),
    )  # fmt: skip
    with stages() as progress:
        result = audited(predictor, chosen, plan, progress=progress)
    target = output or run
    write_audit(result, target)
    _print(result.facts)
    err.line(f"written: {target / 'audit.md'}")


def _print(facts: dict[str, Any]) -> None:
    from covid_xray.evaluation.audit.audit_page import NO_LOCALISATION
    from covid_xray.evaluation.audit.shortcut_verdict import NAMES
    from covid_xray.evaluation.audit.shortcuts import HEADLINE
    from covid_xray.evaluation.report.sections import format_interval

    for row in facts["conditions"]:
        figure = format_interval(row["figures"][HEADLINE])
        out.line(f"{NAMES[HEADLINE]} {figure}  {row['shows']}")
    verdict, maps = facts["verdict"], facts["heatmaps"]
    lines = [verdict["line"], *([verdict["means"]] if verdict["means"] != verdict["line"] else [])]
    if maps:
        lines += [f"Heat maps, layers made random: {maps['cascade']['line']}", maps["faithful"], NO_LOCALISATION]
    for text in (*lines, *facts["notes"]):
        out.line(text)
