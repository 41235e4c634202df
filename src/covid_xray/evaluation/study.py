"""Evaluate a bundle or run: choose its images, leave out those that made it, and write the whole study."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from covid_xray.bundle.bundle import bundle_folder, record
from covid_xray.bundle.trained import PARTS
from covid_xray.data.manifest.manifest import Manifest
from covid_xray.data.manifest.tables import read_table
from covid_xray.data.split.split import read_split
from covid_xray.errors import InputRefused, UsageError
from covid_xray.evaluation.evaluate import evaluate
from covid_xray.evaluation.metrics.calibration import parse_prevalence
from covid_xray.evaluation.predictions import ImagePredictor, Progress, suggest_labels
from covid_xray.evaluation.run_facts import read_run
from covid_xray.evaluation.trained_images import (
    find_trained,
    kept_sentence,
    leave_out_trained,
    left_out_sentence,
    merge_trained,
)

Say = Callable[[str, bool], None]  # a sentence for people, and whether it is a warning


def nothing(text: str, warning: bool) -> None:
    """Say nothing."""


@dataclass(frozen=True)
class Study:
    """One evaluation; arguments as of `evaluate`.

    Args:
        run: a run folder or a bundle.
        others: further bundles that answer together with it.
        output: folder for the results; `None` for that of the run.
        part: of the run's split; `None` for `test` where there is one.
        baselines: content of baselines.json.
        rounds: of the bootstrap.
        pdf: also write report.pdf.
        banner: printed in red at the top of the report.
        prevalence: class mix of a population, such as `covid=0.05,virus=0.1`.
        with_trained: keep images that made the network.
    """

    run: Path
    output: Path | None = None
    part: str | None = None
    baselines: dict[str, Any] | None = None
    rounds: int = 1000
    pdf: bool = False
    banner: str | None = None
    prevalence: str | None = None
    with_trained: bool = False
    others: tuple[Path, ...] = ()

    @property
    def target(self) -> Path:
        """The folder of the results."""
        return self.output or self.run


def run_study(
    study: Study, predictor: ImagePredictor, manifest: Manifest, *, say: Say = nothing, progress: Progress | None = None
) -> dict[str, Any]:
    """Evaluate, write all results to `study.target`, and return the content of metrics.json.

    The figures of the whole test part of a run are recorded in its bundle.

    Args:
        study: what to do.
        predictor: of the bundle of `study.run`, or of all bundles.
        manifest: all images of the data set; those of one part are chosen by the run's split.
        say, progress: called with sentences for people, and with (images done, images in all).

    Raises:
        InputRefused: labels that the network does not know, nothing left to score, or images of an uncertain part.
        UsageError: there is no such part, or no folder for the results of several bundles.
    """
    if study.others and study.output is None:
        raise UsageError("The results of several bundles belong to none of their folders. Name one with --output.")
    is_run = bundle_folder(study.run) != study.run and not study.others
    chosen, part = choose(manifest, study.run / "split.csv", part=study.part)
    if part != "all" and study.part is None:
        say(f"the {part} part: {len(chosen.table):,} of {len(manifest.table):,} images", False)
    _check_labels(chosen, predictor)
    whole = is_run and part == "test" and _is_whole_test_part(study.run, chosen, predictor)
    how: dict[str, Any] = {"part": study.part, "taken": part, "with_trained": study.with_trained, "say": say}
    chosen, trained = without_trained(study.run, chosen, others=study.others, **how)
    if study.prevalence is not None:  # a typing error is reported before the long part
        parse_prevalence(study.prevalence, predictor.classes, old=dict.fromkeys(predictor.classes, 1.0))
    metrics = evaluate(
        predictor,
        chosen,
        out=study.target,
        history=history if (history := study.run / "history.csv").is_file() and not study.others else None,
        baselines=study.baselines,
        banner=study.banner,
        trained=trained,
        run=read_run(study.run, manifest, split_of(study.run)) if is_run else None,
        part=part,
        pdf=study.pdf,
        title=f"{predictor.bundle.name} on {len(chosen.table):,} images ({part} part)",
        prevalence=study.prevalence,
        rounds=study.rounds,
        progress=progress,
    )
    if whole and study.target.resolve() == study.run.resolve() and not trained["kept"]:
        record(bundle_folder(study.run), metrics={"part": part, **metrics["figures"]})
    elif is_run:
        say("the figures in the bundle stay as they are: they are of its whole test part", False)
    return metrics


def choose(manifest: Manifest, split_file: Path, *, part: str | None) -> tuple[Manifest, str]:
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
    run: Path,
    chosen: Manifest,
    *,
    part: str | None,
    taken: str,
    with_trained: bool,
    say: Say = nothing,
    others: Sequence[Path] = (),
) -> tuple[Manifest, dict[str, Any]]:
    """Leave out the images that made the network, and say so; see `trained_images.leave_out_trained`.

    A part of the run that was asked for, or taken since there is no test part, stays in and is marked in red.

    Args:
        run: a run folder or a bundle.
        chosen: the images to score.
        part, taken: the part that was asked for, and the one that they are.
        with_trained: keep all.
        say: called with each sentence, and True where it is a warning.
        others: further bundles, whose images are left out too.
    """
    split = split_of(run)
    found = merge_trained([find_trained(one, chosen, split=split_of(one)) for one in (run, *others)])
    everything = with_trained or (part == "all" and split is not None)
    kept, facts = leave_out_trained(chosen, found, keep=PARTS if everything else {taken} & set(PARTS))
    if left_out_sentence(facts):
        say(left_out_sentence(facts), False)
    if kept_sentence(facts):
        say(kept_sentence(facts), True)
    return kept, facts


def _is_whole_test_part(run: Path, chosen: Manifest, predictor: ImagePredictor) -> bool:
    """Whether `chosen` holds every test image of a class that the network answers."""
    table = read_table(run / "split.csv", required=("image", "split"))
    tested = table[table["split"] == "test"]
    tested = tested[tested["label"].isin(predictor.classes)] if "label" in tested else tested
    return set(tested["image"]) <= set(chosen.table["image"])


def split_of(run: Path) -> pd.Series | None:
    """Read the split.csv of a run; `None` where it has none."""
    return read_split(run / "split.csv") if (run / "split.csv").is_file() else None


def _check_labels(manifest: Manifest, predictor: ImagePredictor) -> None:
    unknown = sorted(set(manifest.table["label"]) - set(predictor.classes))
    if unknown:
        raise InputRefused(
            f"The bundle has no class {', '.join(unknown)}; its classes are {', '.join(predictor.classes)}. "
            + suggest_labels(unknown, predictor.classes)
        )
