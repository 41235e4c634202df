"""The work of `covid-xray evaluate`: which images of the manifest count, and where the results go."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from covid_xray.bundle.bundle import record
from covid_xray.cli.console import bar, err, out
from covid_xray.data.split.split import read_split
from covid_xray.errors import InputRefused, UsageError
from covid_xray.evaluation.evaluate import evaluate
from covid_xray.evaluation.metrics.calibration import parse_prevalence
from covid_xray.evaluation.run_facts import read_run
from covid_xray.inference.predictor import Predictor

if TYPE_CHECKING:
    import pandas as pd

    from covid_xray.data.manifest.manifest import Manifest


@dataclass(frozen=True)
class Study:
    """What `evaluate` was asked for; `banner` is printed in red at the top of the report."""

    run: Path
    output: Path | None = None
    part: str | None = None
    baselines: Path | None = None
    rounds: int = 1000
    pdf: bool = False
    banner: str | None = None
    prevalence: str | None = None


def run_study(study: Study, manifest: "Manifest") -> dict[str, Any]:
    """Evaluate, write everything, print the main figures; returns the content of metrics.json."""
    is_run = (study.run / "bundle").is_dir()
    predictor = Predictor(study.run / "bundle" if is_run else study.run)
    chosen, part = choose(manifest, study.run / "split.csv", part=study.part)
    if part != "all" and study.part is None:
        err.print(f"the {part} part: {len(chosen.table):,} of {len(manifest.table):,} images", highlight=False)
    _check_labels(chosen, predictor)
    if study.prevalence is not None:  # a slip of the pen is told before the long part
        parse_prevalence(study.prevalence, predictor.classes, old=dict.fromkeys(predictor.classes, 1.0))
    target = study.output or study.run
    with bar("evaluate") as progress:
        metrics = evaluate(
            predictor,
            chosen,
            out=target,
            history=study.run / "history.csv" if (study.run / "history.csv").is_file() else None,
            baselines=_read_baselines(study.baselines) if study.baselines else None,
            banner=study.banner,
            run=read_run(study.run, manifest, split_of(study.run)) if is_run else None,
            part=part,
            pdf=study.pdf,
            title=f"{predictor.identity.name} on {len(chosen.table):,} images ({part} part)",
            prevalence=study.prevalence,
            rounds=study.rounds,
            progress=progress,
        )
    if is_run and part == "test":
        record(study.run / "bundle", metrics={"part": part, **metrics["figures"]})
    _print(metrics, target, pdf=study.pdf)
    return metrics


def choose(manifest: "Manifest", split_file: Path, *, part: str | None) -> tuple["Manifest", str]:
    """The rows of one part of the run's split, and the part's name.

    Without a wish it is `test`, or `val` where the split has no test part; a data set of which the split knows
    nothing is taken whole.

    Raises:
        UsageError: there is no split to take the part from, or it has no such part.
        InputRefused: the split knows only some of the images, so that their part is not certain.
    """
    if part == "all" or not split_file.is_file():
        if part not in (None, "all"):
            raise UsageError(f"expected {split_file} to take the {part} part from. Received: no such file")
        return manifest, "all"
    split = read_split(split_file)
    known = manifest.table["image"].isin(split.index)
    if not known.any() and part is None:
        return manifest, "all"
    if part is None and not known.all():
        raise InputRefused(
            f"expected the images of {split_file}, or none of them. Received: {int(known.sum())} of "
            f"{len(known)} known; say which part with --part"
        )
    part = part or ("test" if (split == "test").any() else "val")
    rows = manifest.table["image"].map(split).eq(part)
    if not rows.any():
        raise UsageError(f"expected images of the {part} part. Received: none in {split_file}")
    return manifest.take(rows.to_numpy()), part


def split_of(run: Path) -> "pd.Series | None":
    """The split.csv of a run, or `None` where it has none."""
    return read_split(run / "split.csv") if (run / "split.csv").is_file() else None


def _read_baselines(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise InputRefused(f"expected {path} from `covid-xray baselines`. Received: no JSON file there") from None
    if not isinstance(content, dict):
        raise InputRefused(f"expected {path} from `covid-xray baselines`. Received: a {type(content).__name__}")
    return content


def show(figure: dict[str, Any]) -> str:
    """A figure with its interval, or saying that there is none."""
    if figure["ci_low"] is None:
        return f"{figure['value']:.3f} (too few for an interval), n={figure['n']}"
    return f"{figure['value']:.3f} ({figure['ci_low']:.3f} to {figure['ci_high']:.3f}), n={figure['n']}"


def _check_labels(manifest: "Manifest", predictor: Predictor) -> None:
    unknown = sorted(set(manifest.table["label"]) - set(predictor.classes))
    if unknown:
        raise InputRefused(
            f"expected labels of the bundle ({', '.join(predictor.classes)}). Received: {', '.join(unknown)}; "
            "choose with --label"
        )


def _print(metrics: dict[str, Any], target: Path, *, pdf: bool) -> None:
    for name in ("accuracy", "macro_f1", "auroc_macro", "ece"):
        figure = metrics["figures"].get(name)
        if figure:
            out.print(f"{name:12} {show(figure)}", highlight=False)
    for name in ("report.html", *(["report.pdf"] if pdf else [])):
        out.print(f"report: {target / name}", highlight=False, soft_wrap=True)
