"""Train and score the folds of a cross-validation at the same time, as tasks on Ray.

A fold is the same run folder as without Ray, in a folder that driver and workers share. A task that dies continues
after its last complete epoch.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from covid_xray.cluster.ray_session import connect
from covid_xray.config import Training
from covid_xray.errors import CovidXrayError

Progress = Callable[[str, int, int, str], None]
MAX_RETRIES = 5  # of one fold, whose machine may be taken away


def fold_runner(*, address: str | None = None, cores: int = 0) -> Callable[..., None]:
    """Return the `run_folds` of `crossval`; `cores` per fold, 0 for an equal share of the cluster."""

    def run_folds(
        out: Path, folds: list[Any], manifest: Any, settings: Training, *, keep_models: bool, progress: Progress
    ) -> None:
        from covid_xray.training.crossval.crossval import decode_all, drop_models, fold_folder

        folders = [fold_folder(out.resolve(), number) for number in range(len(folds))]
        left = [number for number, folder in enumerate(folders) if not (folder / "fold.json").exists()]
        if left:
            whole = dataclasses.replace(manifest, root=manifest.root.resolve())
            decode_all(whole, out / "cache", settings, progress)  # once for all folds
            jobs = [(folders[number], folds[number], whole, settings) for number in left]
            _run(jobs, address=address, cores=cores, progress=progress)
        if not keep_models:
            for folder in folders:
                drop_models(folder)

    return run_folds


def _run(jobs: list[Any], *, address: str | None, cores: int, progress: Progress) -> None:
    with connect(address) as ray:
        total = int(ray.cluster_resources().get("CPU", 1))
        task = ray.remote(num_cpus=cores or max(1, total // len(jobs)), max_retries=MAX_RETRIES)(run_fold)
        names = {task.remote(*job): job[1].name for job in jobs}
        waiting = list(names)
        progress("folds", 0, len(jobs), "")
        while waiting:
            (ready,), waiting = ray.wait(waiting, num_returns=1)
            try:
                error = ray.get(ready)
            except ray.exceptions.RayError as lost:
                raise CovidXrayError(
                    f"The cluster lost fold {names[ready]} ({type(lost).__name__}). Run again with --resume.",
                    code="lost-cluster",
                ) from None
            if isinstance(error, CovidXrayError):
                raise error
            progress("folds", len(jobs) - len(waiting), len(jobs), f"fold {names[ready]} is scored")


def run_fold(folder: Path, fold: Any, manifest: Any, settings: Training) -> CovidXrayError | None:
    """Train and score one fold; return errors instead of raising them, so that Ray does not retry."""
    import logging

    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    try:
        from covid_xray.training.crossval import crossval

        if not folder.parent.is_dir():
            raise CovidXrayError(f"{folder.parent} is not shared by all nodes of the cluster.", code="not-shared")
        quiet: Progress = lambda *_: None  # noqa: E731
        cache = crossval.decode_all(manifest, folder.parent / "cache", settings, quiet)
        side, held = (dataclasses.replace(part, root=manifest.root) for part in (fold.side, fold.held))
        rooted = dataclasses.replace(fold, side=side, held=held)  # absolute: a worker has another working folder
        crossval.run_fold(folder, rooted, settings, cache=cache, progress=quiet)
    except CovidXrayError as error:
        return error
    return None
