"""A manifest, its split and a space of settings in, the best of them out: a search by Ray Tune with ASHA.

    folder: plan.json split.csv trial-01/ trial-02/ ... trials.csv tune.md figures/tune.png best.yaml

A trial is an ordinary run folder of `train`, in a folder that all nodes share. ASHA (Li and others 2020, "A system for
massively parallel hyperparameter tuning") stops the worse part of the trials early. Everything is chosen on the
validation part; the test part is not touched.
"""

import dataclasses
import json
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from covid_xray.cluster.extras import need
from covid_xray.cluster.ray_session import connected
from covid_xray.cluster.search_space import Dimension, draw_trials
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
REDUCTION = 3  # one of so many goes on at each rung
LIVES = 3  # of a trial whose worker dies
PROGRESS: list[Progress] = []  # of the search that runs in this process


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
    """Train the trials, stopping the worse ones early; returns their rows, the best first.

    Args:
        manifest, split: as for `training.train.train`; train and val parts are used.
        settings: of the first trial; the others differ from it within `space`.
        space: what may change.
        trials: how many, the first included.
        out: a new folder, or with `resume` one that holds an unfinished search of the same kind.
        address: of `ray_session.connected`.
        cores: of one trial.
        progress: called as (stage, done, total, note).

    Raises:
        UsageError: `out` holds another search, or a space that the settings do not allow.
        CovidXrayError: no trial ended one epoch (`no-trial`).
        Busy: another process works in `out`.
    """
    chosen = draw_trials(space, settings, trials=trials, seed=settings.seed)
    with folder_lock(out):
        folders = [out.resolve() / f"trial-{number + 1:02d}" for number in range(trials)]
        _claim(out, manifest, split, chosen, resume=resume)
        if not (out / "trials.csv").exists():
            whole = dataclasses.replace(manifest, root=manifest.root.resolve())
            _decode(whole, out, settings, progress)
            jobs = list(zip(folders, chosen, strict=True))
            with connected(address):
                _fit(jobs, whole, split, out=out.resolve(), cores=cores, epochs=settings.epochs, progress=progress)
            shutil.rmtree(out / "cache", ignore_errors=True)
        rows = read_trials(folders, chosen, space)
        if all(row["epochs"] == 0 for row in rows):
            raise CovidXrayError("expected a trial that ends an epoch. Received: none that did", code="no-trial")
        write_report(rows, folders, out=out, space=space)
    return rows


def _claim(out: Path, manifest: "Manifest", split: "pd.Series", chosen: Sequence[Training], *, resume: bool) -> None:
    """Write the plan of a new search, or hold it against the one that is there. Raises `UsageError`."""
    from covid_xray.data.manifest.manifest import fingerprint
    from covid_xray.data.split.split import write_split

    path = out / "plan.json"
    trials = [one.model_dump(mode="json", exclude={"decode_workers"}) for one in chosen]
    parts = sorted(f"{image} {part}" for image, part in split.items())
    wanted = {"data": fingerprint(manifest), "split": parts, "trials": trials}
    if not path.exists():
        if resume:
            raise UsageError(f"expected an unfinished search in {out}. Received: none there")
        write_split(out / "split.csv", split, manifest)
        write_json(path, wanted)
        return
    if not resume:
        raise UsageError(f"expected a new folder. Received: {out} holds a search; name another, or add --resume")
    stored = json.loads(path.read_text(encoding="utf-8"))
    for name, value in wanted.items():
        if stored.get(name) != value:
            raise UsageError(f"expected the {name} that {out} was started with. Received: others; name another folder")


def _decode(manifest: "Manifest", out: Path, settings: Training, progress: Progress) -> None:
    """All images decoded once, for all trials."""
    from covid_xray.training.crossval.crossval import decoded

    decoded(manifest, out / "cache", settings, progress)


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
    """Let Ray Tune run the trials; what it knows is kept in `out`/ray, so that it goes on after a stop."""
    tune, schedulers = need("ray.tune"), need("ray.tune.schedulers")
    trainable = tune.with_resources(tune.with_parameters(run_trial, data=(jobs, manifest, split)), {"cpu": cores})
    store = out / "ray"
    if tune.Tuner.can_restore(str(store / "search")):
        tuner = tune.Tuner.restore(str(store / "search"), trainable, resume_errored=True)
    else:
        longest = max(epochs, GRACE) + 1  # one more than there are: who reaches the last epoch ends by itself
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
                failure_config=tune.FailureConfig(max_failures=LIVES),
            ),
        )
    os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"  # Ray Tune would take Ctrl-C for the end of a search that is done
    PROGRESS.append(progress)
    try:
        tuner.fit()
    finally:
        PROGRESS.remove(progress)
    progress("tune", len(jobs), len(jobs), f"{len(jobs)} trials")


def _watcher(tune: Any) -> Any:
    """Tells how many trials are done, and what the last epoch of any was.

    Ray Tune pickles it with the search, so it holds no progress bar: it looks for that of its process.
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
    """One trial, in a worker: trained, or gone on with, telling Ray Tune of every epoch."""
    import logging

    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    from covid_xray.training.crossval.crossval import decoded
    from covid_xray.training.train import train

    tune = need("ray.tune")
    jobs, manifest, split = data
    folder, settings = jobs[config["trial"]]
    cache = decoded(manifest, folder.parent / "cache", settings, lambda *_: None)
    train(
        manifest,
        split,
        settings=settings,
        out=folder,
        resume=(folder / "config.yaml").is_file(),
        cache=cache,
        each_epoch=lambda row: tune.report(dict(row)),
    )
