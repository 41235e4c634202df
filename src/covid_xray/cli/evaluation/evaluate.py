"""Do the work of `covid-xray evaluate`: choose the images, evaluate, and print the main figures."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from covid_xray.bundle.bundle import record
from covid_xray.bundle.trained import PARTS
from covid_xray.cli.console import bar, err, out
from covid_xray.data.manifest.tables import read_table
from covid_xray.data.split.split import read_split
from covid_xray.errors import InputRefused, UsageError
from covid_xray.evaluation.evaluate import evaluate
from covid_xray.evaluation.metrics.calibration import parse_prevalence
from covid_xray.evaluation.predictions import suggest_labels
from covid_xray.evaluation.run_facts import read_run
from covid_xray.evaluation.trained_images import find_trained, kept_sentence, leave_out_trained, left_out_sentence
from covid_xray.inference.predictor import Predictor

if TYPE_CHECKING:
    import pandas as pd

    from covid_xray.data.manifest.manifest import Manifest


@dataclass(frozen=True)
class Study:
    """The options of `evaluate`; `banner` is printed in red at the top of the report."""

    run: Path
    output: Path | None = None
    part: str | None = None
    baselines: Path | None = None
    rounds: int = 1000
    pdf: bool = False
    banner: str | None = None
    prevalence: str | None = None
    with_trained: bool = False


def run_study(study: Study, manifest: "Manifest") -> dict[str, Any]:
    """Evaluate, write all results, print the main figures; return the content of metrics.json."""
    is_run = (study.run / "bundle").is_dir()
    predictor = Predictor(study.run / "bundle" if is_run else study.run)
    chosen, part = choose(manifest, study.run / "split.csv", part=study.part)
    if part != "all" and study.part is None:
        err.line(f"the {part} part: {len(chosen.table):,} of {len(manifest.table):,} images")
    _check_labels(chosen, predictor)
    whole = is_run and part == "test" and _is_whole_test_part(study.run, chosen, predictor)
    chosen, trained = without_trained(study.run, chosen, part=study.part, taken=part, with_trained=study.with_trained)
    if study.prevalence is not None:  # a typing error is reported before the long part
        parse_prevalence(study.prevalence, predictor.classes, old=dict.fromkeys(predictor.classes, 1.0))
    target = study.output or study.run
    with bar("evaluate") as progress:
        metrics = evaluate(
            predictor,
            chosen,
            out=target,
            history=study.run / "history.csv" if (study.run / "history.csv").is_file() else None,
            baselines=read_result(study.baselines, command="baselines"),
            banner=study.banner,
            trained=trained,
            run=read_run(study.run, manifest, split_of(study.run)) if is_run else None,
            part=part,
            pdf=study.pdf,
            title=f"{predictor.identity.name} on {len(chosen.table):,} images ({part} part)",
            prevalence=study.prevalence,
            rounds=study.rounds,
            progress=progress,
        )
    if whole and target.resolve() == study.run.resolve() and not trained["kept"]:
        record(study.run / "bundle", metrics={"part": part, **metrics["figures"]})
    elif is_run:
        err.print("the figures in the bundle stay as they are: they are of its whole test part")
    _print(metrics, target, pdf=study.pdf)
    return metrics


def choose(manifest: "Manifest", split_file: Path, *, part: str | None) -> tuple["Manifest", str]:
    """Select the rows of one part of the run's split; return them and the part's name.

    Without `part` it is `test`, or `val` where the split has no test part; a data set without any image of the split
    is taken whole.

    Raises:
        UsageError: there is no split, or it has no such part.
        InputRefused: the split lists only some of the images, so that their part is not certain.
    """
    if part == "all" or not split_file.is_file():
        if part not in (None, "all"):
            raise UsageError(f"No such file: {split_file}, so there is no {part} part. Use --part all.")
        return manifest, "all"
    split = read_split(split_file)
    known = manifest.table["image"].isin(split.index)
    if not known.any() and part is None:
        return manifest, "all"
    if part is None and not known.all():
        raise InputRefused(
            f"{split_file} lists only {int(known.sum())} of the {len(known)} images, so their part is not certain. "
            "Choose one with --part."
        )
    part = part or ("test" if (split == "test").any() else "val")
    rows = manifest.table["image"].map(split).eq(part)
    if not rows.any():
        raise UsageError(f"No images of the {part} part in {split_file}. Choose another part with --part.")
    return manifest.take(rows.to_numpy()), part


def without_trained(
    run: Path, chosen: "Manifest", *, part: str | None, taken: str, with_trained: bool
) -> tuple["Manifest", dict[str, Any]]:
    """Leave out the images that made the network, and say so; see `trained_images.leave_out_trained`.

    A part of the run that was asked for, or taken since there is no test part, stays in and is marked in red.

    Args:
        run: a run folder or a bundle.
        chosen: the images to score.
        part, taken: the part that was asked for, and the one that they are.
        with_trained: keep all.
    """
    bundle = run / "bundle" if (run / "bundle").is_dir() else run
    split = split_of(run)
    everything = with_trained or (part == "all" and split is not None)
    kept, facts = leave_out_trained(
        chosen, find_trained(bundle, chosen, split=split), keep=PARTS if everything else {taken} & set(PARTS)
    )
    if left_out_sentence(facts):
        err.line(left_out_sentence(facts))
    if kept_sentence(facts):
        err.line(kept_sentence(facts), style="bold red")
    return kept, facts


def _is_whole_test_part(run: Path, chosen: "Manifest", predictor: Predictor) -> bool:
    """Whether `chosen` holds every test image of a class that the network answers."""
    table = read_table(run / "split.csv", required=("image", "split"))
    tested = table[table["split"] == "test"]
    tested = tested[tested["label"].isin(predictor.classes)] if "label" in tested else tested
    return set(tested["image"]) <= set(chosen.table["image"])


def split_of(run: Path) -> "pd.Series | None":
    """Read the split.csv of a run; `None` where it has none."""
    return read_split(run / "split.csv") if (run / "split.csv").is_file() else None


def read_result(path: Path | None, *, command: str) -> dict[str, Any] | None:
    """Read the JSON object that `covid-xray COMMAND` wrote; `None` where no path was given."""
    if path is None:
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        content = None
    if not isinstance(content, dict):
        raise InputRefused(f"Not a result of covid-xray {command}: {path}. Give the JSON file that it wrote.")
    return content


def show(figure: dict[str, Any], metrics: dict[str, Any]) -> str:
    """Format a figure with its interval, if it has one, and the images and patients behind it."""
    span = "too few for an interval"
    if figure["ci_low"] is not None:
        span = f"{figure['ci_low']:.3f} to {figure['ci_high']:.3f}"
    people = "" if metrics["n_patients"] is None else f", {metrics['n_patients']:,} patients"
    return f"{figure['value']:.3f} ({span}), n={metrics['n_images']:,} images{people}"


def _check_labels(manifest: "Manifest", predictor: Predictor) -> None:
    unknown = sorted(set(manifest.table["label"]) - set(predictor.classes))
    if unknown:
        raise InputRefused(
            f"The bundle has no class {', '.join(unknown)}; its classes are {', '.join(predictor.classes)}. "
            + suggest_labels(unknown, predictor.classes)
        )


def _print(metrics: dict[str, Any], target: Path, *, pdf: bool) -> None:
    for name in ("accuracy", "macro_f1", "auroc_macro", "ece"):
        figure = metrics["figures"].get(name)
        if figure:
            out.line(f"{name:12} {show(figure, metrics)}")
    if metrics["guessing"] and metrics["guessing"]["says"]:
        out.line(metrics["guessing"]["says"], style="bold red")
    for name in ("report.html", *(["report.pdf"] if pdf else [])):
        out.line(f"report: {target / name}")
