"""Search for the best training settings with Ray Tune and ASHA.

    folder: plan.json split.csv trial-01/ trial-02/ ... trials.csv tune.md figures/tune.png best.yaml

A trial is a run folder of `train`, in a folder that all nodes share. ASHA (Li and others 2020, "A system for massively
parallel hyperparameter tuning") stops the worse trials early. Only the validation part decides.
"""

import dataclasses
import json
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from covid_xray.cluster.extras import require_module
from covid_xray.cluster.ray_session import connect
from covid_xray.cluster.search_space import Dimension, sample_trials
from covid_xray.cluster.trial_table import read_trials, write_report
from covid_xray.config import Training
from covid_xray.errors import CovidXrayError, UsageError
from covid_xray.files import folder_lock, write_json

if TYPE_CHECKING:
    import pandas as pd

    from covid_xray.data.manifest.manifest import Manifest

Progress = Callable[[str, int, int, str], None]
METRIC = "val_loss"
GRACE = 3  # epochs before a trial may be stopped
REDUCTION = 3  # one of so many trials continues at each rung
MAX_FAILURES = 3  # of a trial's worker
PROGRESS: list[Progress] = []  # of the running search


def search(
    manifest: "Manifest",
    split: "pd.Series",
    *,
    settings: Training,
    space: tuple[Dimension, ...],
    trials: int,
    out: Path,
    resume: bool = False,
    address: str | None = None,
    cores: int = 1,
    progress: Progress = lambda *_: None,
) -> list[dict[str, Any]]:
    """Train the trials, stopping the worse ones early; return their rows, the best first.

    Args:
        manifest, split: as for `training.train.train`; train and val parts are used.
        settings: of the first trial; the others differ from it within `space`.
        space: settings that may change.
        trials: how many, including the first.
        out: a new folder, or with `resume` one with an unfinished search of the same settings.
        address: as for `ray_session.connect`.
        cores: per trial.
        progress: called as (stage, done, total, note).

    Raises:
        UsageError: `out` holds another search, or the space has invalid settings.
        CovidXrayError: no trial finished one epoch (`no-trial`).
        Busy: another process writes to `out`.
    """
    chosen = sample_trials(space, settings, trials=trials, seed=settings.seed)
    with folder_lock(out):
        folders = [out.resolve() / f"trial-{number + 1:02d}" for number in range(trials)]
        _claim_folder(out, manifest, split, chosen, resume=resume)
        if not (out / "trials.csv").exists():
            from covid_xray.training.crossval.crossval import decode_all

            whole = dataclasses.replace(manifest, root=manifest.root.resolve())
            decode_all(whole, out / "cache", settings, progress)  # once for all trials
            jobs = list(zip(folders, chosen, strict=True))
            with connect(address):
                _fit(jobs, whole, split, out=out.resolve(), cores=cores, epochs=settings.epochs, progress=progress)
            shutil.rmtree(out / "cache", ignore_errors=True)
        rows = read_trials(folders, chosen, space)
        if all(row["epochs"] == 0 for row in rows):
            raise CovidXrayError("No trial finished an epoch.", code="no-trial")
        write_report(rows, folders, out=out, space=space)
    return rows


def check_folder(out: Path, *, resume: bool) -> None:
    """Check that `out` is free, or with `resume` begun; reads no image. Raises `UsageError`."""
    planned = (out / "plan.json").exists()
    if resume and not planned:
        raise UsageError(f"{out} holds no search to resume. Leave out --resume, or name the folder of one.")
    if planned and not resume:
        raise UsageError(f"{out} holds a search. Add --resume to continue it, or name another folder.")


def _claim_folder(
    out: Path, manifest: "Manifest", split: "pd.Series", chosen: Sequence[Training], *, resume: bool
) -> None:
    """Write the plan of a new search, or compare it with the existing one. Raises `UsageError`."""
    from covid_xray.data.manifest.manifest import fingerprint
    from covid_xray.data.split.split import write_split

    path = out / "plan.json"
    trials = [one.model_dump(mode="json", exclude={"decode_workers"}) for one in chosen]
    parts = sorted(f"{image} {part}" for image, part in split.items())
    plan = {"data": fingerprint(manifest), "split": parts, "trials": trials}
    check_folder(out, resume=resume)
    if not path.exists():
        write_split(out / "split.csv", split, manifest)
        write_json(path, plan)
        return
    stored = json.loads(path.read_text(encoding="utf-8"))
    for name, value in plan.items():
        if stored.get(name) != value:
            raise UsageError(f"{out} was started with other {name}. Name another folder.")


def _fit(
    jobs: list[tuple[Path, Training]],
    manifest: "Manifest",
    split: "pd.Series",
    *,
    out: Path,
    cores: int,
    epochs: int,
    progress: Progress,
) -> None:
    """Run the trials with Ray Tune, which keeps its state in `out`/ray so that it can be resumed."""
    tune, schedulers = require_module("ray.tune"), require_module("ray.tune.schedulers")
    trainable = tune.with_resources(tune.with_parameters(run_trial, data=(jobs, manifest, split)), {"cpu": cores})
    store = out / "ray"
    if tune.Tuner.can_restore(str(store / "search")):
        tuner = tune.Tuner.restore(str(store / "search"), trainable, resume_errored=True)
    else:
        longest = max(epochs, GRACE) + 1  # one more, so that a trial ends its last epoch by itself
        asha = schedulers.ASHAScheduler(
            time_attr="epoch", max_t=longest, grace_period=min(GRACE, epochs), reduction_factor=REDUCTION
        )
        tuner = tune.Tuner(
            trainable,
            param_space={"trial": tune.grid_search(list(range(len(jobs))))},
            tune_config=tune.TuneConfig(metric=METRIC, mode="min", scheduler=asha, reuse_actors=False),
            run_config=tune.RunConfig(
                name="search",
                storage_path=str(store),
                verbose=0,
                callbacks=[_watcher(tune)],
                failure_config=tune.FailureConfig(max_failures=MAX_FAILURES),
            ),
        )
    os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"  # else Ray Tune would end as if the search was complete
    PROGRESS.append(progress)
    try:
        tuner.fit()
    finally:
        PROGRESS.remove(progress)
    progress("tune", len(jobs), len(jobs), f"{len(jobs)} trials")


def _watcher(tune: Any) -> Any:
    """Return a callback that reports finished trials and epochs.

    Ray Tune pickles it with the search, so it looks up the progress functions of its process.
    """

    class Watcher(tune.Callback):
        def __init__(self) -> None:
            self.done = 0

        def on_trial_result(
            self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any
        ) -> None:
            from covid_xray.cluster.tune import METRIC, PROGRESS

            note = f"trial {trial.config['trial'] + 1}, epoch {result['epoch']:.0f}: loss {result[METRIC]:.3f}"
            for progress in PROGRESS:
                progress("tune", min(self.done, len(trials) - 1), len(trials), note)

        def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
            self.done += 1

    return Watcher()


def run_trial(config: dict[str, Any], data: Any) -> None:
    """Train or continue one trial in a worker, reporting every epoch to Ray Tune."""
    import logging

    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    from covid_xray.training.crossval.crossval import decode_all
    from covid_xray.training.train import train

    tune = require_module("ray.tune")
    jobs, manifest, split = data
    folder, settings = jobs[config["trial"]]
    cache = decode_all(manifest, folder.parent / "cache", settings, lambda *_: None)
    train(
        manifest,
        split,
        settings=settings,
        out=folder,
        resume=(folder / "config.yaml").is_file(),
        cache=cache,
        each_epoch=lambda row: tune.report(dict(row)),
    )
