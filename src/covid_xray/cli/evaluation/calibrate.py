"""Define the command `calibrate`: fit probabilities on images that are neither training nor test."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from covid_xray.cli import selection
from covid_xray.cli.console import Data, Images, bar, err, out, print_next
from covid_xray.errors import InputRefused

if TYPE_CHECKING:
    from covid_xray.data.manifest.manifest import Manifest

PARTS = ("calibration", "val")
GateRate = Annotated[
    float, typer.Option("--gate-rate", min=0.0, max=0.5, help="Share of good images the gate may refuse; 0 makes none.")
]
Tta = Annotated[int, typer.Option("--tta", min=1, max=10, help="Copies of every input to fit for and answer with.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this file to `app`."""
    app.command()(selection.reads_table(calibrate))


def calibrate(
    run: Annotated[Path, typer.Argument(help="A run folder with its bundle and split.csv.")],
    data: Data,
    images: Images = None,
    part: Annotated[
        Literal["val", "calibration"] | None,
        typer.Option("--part", help="val or calibration; default: calibration if there is one."),
    ] = None,
    coverage: Annotated[
        float, typer.Option("--coverage", min=0.5, max=0.999, help="Share of sets that hold the true class.")
    ] = 0.9,
    method: Annotated[
        Literal["lac", "aps", "raps"], typer.Option("--method", help="Kind of prediction sets: lac, aps or raps.")
    ] = "lac",
    positive: Annotated[
        list[str] | None,
        typer.Option("--positive", help="Class to choose operating points for; repeatable; default: covid."),
    ] = None,
    gate_rate: GateRate = 0.05,
    tta: Tta = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print the stored facts as JSON.")] = False,
    with_trained: selection.WithTrained = False,
) -> None:
    """Fit temperature, sets, operating points and the input gate on a run's own images; store them in its bundle."""
    from covid_xray.bundle.bundle import read_facts
    from covid_xray.cli.evaluation.calibrate_gate import fit_gate, fit_site
    from covid_xray.evaluation.calibrate import CalibrationSettings, fit
    from covid_xray.evaluation.gate.fit import describe_gate

    chosen = _choose_part(run, part)
    before = read_facts(run / "bundle").get("metrics")
    manifest = _untrained(run, _images(run, data, images=images, part=chosen), with_trained=with_trained)
    wishes = CalibrationSettings(coverage=coverage, method=method, positive=tuple(positive or ()), tta=tta)
    with bar("calibrate") as progress:
        facts = fit(run / "bundle", manifest, part=chosen, wishes=wishes, progress=progress)
    gate = fit_gate(run, data, images=images, part=chosen, rate=gate_rate) if gate_rate else None
    site = fit_site(run, data, images=images, part=chosen)
    if as_json:
        shown = {**facts["calibration"], "conformal": facts["conformal"], "operating_points": facts["operating_points"]}
        typer.echo(json.dumps({**shown, "gate": gate}, indent=2, ensure_ascii=False))
    else:
        _print(facts)
        if gate:
            out.line(describe_gate(gate))
        out.line(site)
    if before:
        err.line("The stored figures are from before the calibration.")
        print_next("evaluate", run, stderr=True, **selection.data_options(data=data, images=images, part=_tested(run)))


def _images(run: Path, data: Path, *, images: Path | None, part: str) -> "Manifest":
    """Read the images of the part with the groups of the split. No other file is opened."""
    from covid_xray.cli.evaluation.calibrate_gate import answered
    from covid_xray.data.manifest.tables import read_table
    from covid_xray.data.split.groups import with_duplicates
    from covid_xray.evaluation.study import choose

    split = run / "split.csv"
    everything = answered(run / "bundle", selection.read(data, images=images, show=False, check=False))
    chosen, _ = choose(everything, split, part=part)
    table = read_table(split, required=("image", "split"))
    return selection.check_rows(with_duplicates(chosen, table) if "group" in table else chosen)


def _untrained(run: Path, manifest: "Manifest", *, with_trained: bool) -> "Manifest":
    """Leave out copies of training images, on which a network is too sure, and report their number."""
    from covid_xray.bundle.trained import PARTS as KNOWN
    from covid_xray.evaluation.trained_images import find_trained, leave_out_trained

    found = find_trained(run / "bundle", manifest)
    kept, _ = leave_out_trained(manifest, found, keep=KNOWN if with_trained else KNOWN[1:])
    count = found.counts.get("train", 0)
    if count:
        done = "kept: the probabilities will be too sure" if with_trained else "left out"
        text = f"{count:,} of {len(found.part):,} images are copies of training images, {done}"
        err.line(text, style="bold red" if with_trained else None)
    return kept


def _choose_part(run: Path, part: str | None) -> str:
    """Choose the part to calibrate on: test images must stay unseen, and a network is too sure of training images."""
    from covid_xray.data.split.split import read_split

    path = run / "split.csv"
    if not path.is_file():
        raise InputRefused(f"No such file: {path}. Give a run folder of covid-xray train.", code="no-split")
    split = read_split(path)
    known = [name for name in PARTS if (split == name).any()]
    if part is None and not known:
        raise InputRefused(
            f"Nothing to calibrate on: {path} has neither a calibration nor a val part. Train again with "
            "--set calibration_fraction=0.1.",
            code="no-split",
        )
    return part or known[0]


def _tested(run: Path) -> str:
    """The part that `evaluate` scores by itself; named, since the data may hold images that the split does not know."""
    from covid_xray.data.split.split import read_split

    return "test" if (read_split(run / "split.csv") == "test").any() else "val"


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
        out.line(line)


def _points(name: str, stored: dict[str, Any]) -> list[str]:
    lines = []
    for point, facts in stored["points"].items():
        if facts["threshold"] is None:
            lines.append(f"{name}, {point:9} none: {facts['reason']}")
            continue
        sides = ", ".join(f"{side} {facts[side]['value']:.3f}" for side in ("sensitivity", "specificity"))
        lines.append(f"{name}, {point:9} at {facts['threshold']:.4f}: {sides} ({facts['basis']})")
    return lines
