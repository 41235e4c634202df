"""The command that makes the probabilities of a run honest, on images that are neither training nor test: calibrate."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from covid_xray.cli import selection
from covid_xray.cli.console import Data, Images, bar, err, out
from covid_xray.errors import InputRefused, UsageError

if TYPE_CHECKING:
    from covid_xray.data.manifest.manifest import Manifest

PARTS = ("calibration", "val")


def register(app: typer.Typer) -> None:
    """Add the commands of this file to `app`."""
    app.command()(calibrate)


def calibrate(
    run: Annotated[Path, typer.Argument(help="A run folder with its bundle and split.csv.")],
    data: Data,
    images: Images = None,
    part: Annotated[
        str | None, typer.Option("--part", help="val or calibration; default: calibration where there is one.")
    ] = None,
    coverage: Annotated[
        float, typer.Option("--coverage", min=0.5, max=0.999, help="Share of sets that hold the true class.")
    ] = 0.9,
    method: Annotated[str, typer.Option("--method", help="Of the sets: lac, aps or raps.")] = "lac",
    positive: Annotated[
        list[str] | None,
        typer.Option("--positive", help="Class to choose operating points for; repeatable; default: covid."),
    ] = None,
    gate_rate: Annotated[
        float,
        typer.Option("--gate-rate", min=0.0, max=0.5, help="Share of good images the gate may refuse; 0 makes none."),
    ] = 0.05,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was stored as JSON.")] = False,
) -> None:
    """Fit temperature, sets, operating points and the input gate on a run's own images; store them in its bundle."""
    from covid_xray.bundle.bundle import read_facts
    from covid_xray.cli.evaluation.calibrate_gate import fit_gate
    from covid_xray.evaluation.calibrate import CalibrationSettings, fit
    from covid_xray.evaluation.gate.fit import describe_gate

    part = _part(run, part)
    before = read_facts(run / "bundle")
    manifest = _images(run, data, images=images, part=part)
    wishes = CalibrationSettings(coverage=coverage, method=method, positive=tuple(positive or ()))
    with bar("calibrate") as progress:
        facts = fit(run / "bundle", manifest, part=part, wishes=wishes, progress=progress)
    gate = fit_gate(run, data, images=images, part=part, rate=gate_rate) if gate_rate else None
    if as_json:
        shown = {**facts["calibration"], "conformal": facts["conformal"], "operating_points": facts["operating_points"]}
        shown["gate"] = gate
        typer.echo(json.dumps(shown, indent=2, ensure_ascii=False))
    else:
        _print(facts)
        if gate:
            out.print(describe_gate(gate), highlight=False, markup=False, soft_wrap=True)
    if before.get("metrics"):
        err.print(f"the stored figures are of before; next: covid-xray evaluate {run} --data {data}", soft_wrap=True)


def _images(run: Path, data: Path, *, images: Path | None, part: str) -> "Manifest":
    """The images of the part, with the groups that the split kept together. No other file is opened."""
    from covid_xray.cli.evaluation.evaluate import choose
    from covid_xray.data.manifest.tables import read_table
    from covid_xray.data.split.groups import with_duplicates

    split = run / "split.csv"
    everything = selection.read(data, images=images, show=False, check=False)
    chosen, _ = choose(everything, split, part=part)
    table = read_table(split, required=("image", "split"))
    return selection.checked(with_duplicates(chosen, table) if "group" in table else chosen)


def _part(run: Path, wish: str | None) -> str:
    """The part to calibrate on; test images must stay unseen, and of its training images a network is too sure."""
    from covid_xray.data.split.split import read_split

    if wish is not None and wish not in PARTS:
        raise UsageError(f"expected --part val or calibration. Received: {wish}")
    if not (run / "split.csv").is_file():
        raise InputRefused(f"expected a run folder with split.csv. Received: none in {run}", code="no-split")
    split = read_split(run / "split.csv")
    known = [name for name in PARTS if (split == name).any()]
    if wish is None and not known:
        raise InputRefused("expected a val or calibration part in split.csv. Received: neither", code="no-split")
    return wish or known[0]


def _print(facts: dict[str, Any]) -> None:
    about, conformal = facts["calibration"], facts["conformal"]
    lines = [f"temperature {facts['temperature']:.4f}, fitted on {about['images']:,} {about['part']} images"]
    lines += [
        f"{name:12} {before:.4f} before, {about['after'][name]:.4f} after" for name, before in about["before"].items()
    ]
    if about["failed"]:
        lines.append(f"{about['failed']:,} images could not be scored and do not count")
    if about["note"]:
        lines.append(about["note"])
    method, coverage = conformal["method"], conformal["coverage"]
    quantile = conformal["quantiles"][method][f"{coverage:g}"]
    lines.append(f"sets that hold the truth in {coverage:.1%} of images: {method}, quantile {quantile:.4f}")
    lines += [line for name, stored in facts["operating_points"].items() for line in _points(name, stored)]
    if not facts["operating_points"]:
        lines.append("no operating points: there is no class covid; name another with --positive")
    for line in lines:
        out.print(line, highlight=False, markup=False, soft_wrap=True)


def _points(name: str, stored: dict[str, Any]) -> list[str]:
    lines = []
    for point, facts in stored["points"].items():
        if facts["threshold"] is None:
            lines.append(f"{name}, {point:9} none: {facts['reason']}")
            continue
        sides = ", ".join(f"{side} {facts[side]['value']:.3f}" for side in ("sensitivity", "specificity"))
        lines.append(f"{name}, {point:9} at {facts['threshold']:.4f}: {sides} ({facts['basis']})")
    return lines
