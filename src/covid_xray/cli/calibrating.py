"""The command that makes the probabilities of a run honest, on images that are neither training nor test: calibrate."""

import dataclasses
import json
from pathlib import Path
from typing import Annotated, Any

import typer

from covid_xray.cli import selection
from covid_xray.cli.console import Data, Images, bar, err, out
from covid_xray.errors import InputRefused, UsageError

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
    as_json: Annotated[bool, typer.Option("--json", help="Print what was stored as JSON.")] = False,
) -> None:
    """Fit temperature and conformal sets on the validation or calibration part of a run; store them in its bundle."""
    from covid_xray.bundle.bundle import load_bundle, record
    from covid_xray.bundle.predictor import Predictor
    from covid_xray.cli.evaluating import choose
    from covid_xray.evaluation.calibration import calibration_facts, with_temperature
    from covid_xray.evaluation.conformal import conformal_facts
    from covid_xray.evaluation.predictions import predict_manifest

    part = _part(run, part)
    from covid_xray.bundle.prediction_sets import METHODS

    if method not in METHODS:
        raise UsageError(f"expected --method {', '.join(METHODS)}. Received: {method}")
    bundle = load_bundle(run / "bundle")
    manifest, _ = choose(selection.read(data, images=images, show=False), run / "split.csv", part=part)
    raw = Predictor(dataclasses.replace(bundle, temperature=1.0))
    with bar("calibrate") as progress:
        predictions = predict_manifest(raw, manifest, progress=progress)
    facts = {"part": part, "failed": len(predictions.failures), **calibration_facts(predictions)}
    tempered = with_temperature(predictions, temperature=facts["temperature"])
    conformal = {"part": part, **conformal_facts(tempered, coverage=coverage, method=method)}
    record(run / "bundle", temperature=facts["temperature"], calibration=facts, conformal=conformal)
    if as_json:
        typer.echo(json.dumps({**facts, "conformal": conformal}, indent=2, ensure_ascii=False))
    else:
        _print(facts)
        quantile = conformal["quantiles"][method][f"{coverage:g}"]
        out.print(
            f"sets that hold the truth in {coverage:.1%} of images: {method}, quantile {quantile:.4f}", highlight=False
        )
    if "metrics" in bundle.facts:
        err.print(f"the stored figures are of before; next: covid-xray evaluate {run} --data {data}", soft_wrap=True)


def _part(run: Path, wish: str | None) -> str:
    """The part to calibrate on; test images must stay unseen, and of its training images a network is too sure."""
    from covid_xray.data.split import read_split

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
    out.print(f"temperature {facts['temperature']:.4f}, fitted on {facts['images']:,} {facts['part']} images")
    for name, before in facts["before"].items():
        out.print(f"{name:12} {before:.4f} before, {facts['after'][name]:.4f} after", highlight=False)
    if facts["failed"]:
        out.print(f"{facts['failed']:,} images could not be scored and do not count", highlight=False)
    if facts["note"]:
        out.print(facts["note"], highlight=False, soft_wrap=True)
