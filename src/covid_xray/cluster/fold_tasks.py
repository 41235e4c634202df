"""The folds of a cross-validation in, all of them trained and scored at the same time by tasks on Ray.

A fold is the same run folder as without Ray, in a folder that driver and workers share. A task that dies goes on inside
its fold where the last whole epoch ended; folds that are done are passed over.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from covid_xray.cluster.ray_session import connected
from covid_xray.config import Training
from covid_xray.errors import CovidXrayError

Progress = Callable[[str, int, int, str], None]
LIVES = 5  # of one fold's task: a machine that is taken away is no fault of the fold


def runner(*, address: str | None = None, cores: int = 0) -> Callable[..., None]:
    """What `training.crossval.crossval.crossval` takes as `run_folds`.

    Args:
        address: of `ray_session.connected`.
        cores: of one fold; 0 for an equal share of the cluster.
    """

    def run_folds(
        out: Path, folds: list[Any], manifest: Any, settings: Training, *, keep_models: bool, progress: Progress
    ) -> None:
        from covid_xray.training.crossval.crossval import decoded, drop_models, fold_folder

        folders = [fold_folder(out.resolve(), number) for number in range(len(folds))]
        left = [number for number, folder in enumerate(folders) if not (folder / "fold.json").exists()]
        if left:
            whole = dataclasses.replace(manifest, root=manifest.root.resolve())
            decoded(whole, out / "cache", settings, progress)  # once, for all
            jobs = [(folders[number], folds[number], whole, settings) for number in left]
            _run(jobs, address=address, cores=cores, progress=progress)
        if not keep_models:
            for folder in folders:
                drop_models(folder)

    return run_folds


def _run(jobs: list[Any], *, address: str | None, cores: int, progress: Progress) -> None:
    with connected(address) as ray:
        total = int(ray.cluster_resources().get("CPU", 1))
        task = ray.remote(num_cpus=cores or max(1, total // len(jobs)), max_retries=LIVES)(run_fold)
        names = {task.remote(*job): job[1].name for job in jobs}
        waiting = list(names)
        progress("folds", 0, len(jobs), "")
        while waiting:
            (ready,), waiting = ray.wait(waiting, num_returns=1)
            try:
                error = ray.get(ready)
            except ray.exceptions.RayError as lost:
                raise CovidXrayError(
                    f"expected the cluster to train fold {names[ready]}. Received: {type(lost).__name__}; "
                    "the same command with --resume goes on",
                    code="lost-cluster",
                ) from None
            if isinstance(error, CovidXrayError):
                raise error
            progress("folds", len(jobs) - len(waiting), len(jobs), f"fold {names[ready]} is scored")


def run_fold(folder: Path, fold: Any, manifest: Any, settings: Training) -> CovidXrayError | None:
    """Train and score one fold; an error is handed back, so that Ray does not try in vain."""
    import logging

    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    try:
        from covid_xray.training.crossval import crossval

        if not folder.parent.is_dir():
            raise CovidXrayError(
                f"expected a folder that every node of the cluster has. Received: {folder.parent}, which is not there",
                code="not-shared",
            )
        quiet: Progress = lambda *_: None  # noqa: E731
        cache = crossval.decoded(manifest, folder.parent / "cache", settings, quiet)
        crossval.run_fold(folder, _rooted(fold, manifest.root), settings, cache=cache, progress=quiet)
    except CovidXrayError as error:
        return error
    return None


def _rooted(fold: Any, root: Path) -> Any:
    """The fold with the absolute folder of the images: a worker's working folder is another."""
    return dataclasses.replace(
        fold, side=dataclasses.replace(fold.side, root=root), held=dataclasses.replace(fold.held, root=root)
    )
