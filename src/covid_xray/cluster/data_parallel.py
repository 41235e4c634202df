"""Train one network with several processes: Keras on JAX, started by Ray Train.

Every process computes its share of each batch, so the loss is that of one process. A checkpoint is written after every
epoch, from which all continue when one dies. Ray's own JaxTrainer connects processes on TPUs and GPUs only (2.60), so
the address is broadcast here. All nodes share the run folder, which gets processes.json beside the files of `train`.
"""

import contextlib
import dataclasses
import os
import shutil
import socket
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from covid_xray.cluster.extras import require_module
from covid_xray.cluster.ray_session import connect
from covid_xray.config import Training
from covid_xray.errors import CovidXrayError, UsageError
from covid_xray.files import write_json

if TYPE_CHECKING:
    from covid_xray.training.epochs import Run

BACKEND = {"KERAS_BACKEND": "jax"}
MAX_FAILURES = 3  # of any process
POLL_SECONDS = 1.0  # between two reads of the history


def trainer(settings: Training, *, processes: int, address: str | None = None) -> Callable[["Run"], None]:
    """Return a function that `training.train.train` takes as `elsewhere`, which trains with several processes.

    On a cluster they are spread over its nodes, and each uses all cores of its node.

    Raises:
        MissingPackage: Ray or JAX is not installed.
        UsageError: settings that do not allow so many processes.
    """
    _check(settings, processes)
    require_module("ray.train")
    require_module("jax")

    def train_together(run: "Run") -> None:
        facts = _describe(run)
        each = -(-run.settings.batch_size // processes)
        with connect(address, cpus=processes) as ray:
            fit = partial(_fit, ray, facts, processes=processes, store=run.out.resolve() / "ray")
            _run_in_thread(fit, poll=_ProgressReader(run).report)
        shutil.rmtree(run.out / "ray", ignore_errors=True)
        write_json(run.out / "processes.json", {"processes": processes, "images_each": each})

    return train_together


def _describe(run: "Run") -> dict[str, Any]:
    """Return what a process needs to know; the pixels are in the run folder."""
    import numpy as np

    from covid_xray.training.cache import PixelCache

    elsewhere = PixelCache(np.empty((0, 0, 0), np.uint8), {})
    return {
        "settings": run.settings.model_copy(update={"weights": None, "init": None}),  # they are in the checkpoint
        "out": run.out.resolve(),
        "identity": run.identity,
        "parts": {
            "train": dataclasses.replace(run.train, cache=elsewhere),
            "val": dataclasses.replace(run.val, cache=elsewhere),
        },
        "rows": dict(run.train.cache.row),
    }


def _check(settings: Training, processes: int) -> None:
    if settings.devices > 1:
        raise UsageError(f"--processes needs devices=1, not devices={settings.devices}.")
    if settings.batch_size < processes:
        raise UsageError(f"batch_size={settings.batch_size} is less than one image per process ({processes}).")


def _fit(ray: Any, facts: dict[str, Any], *, processes: int, store: Path) -> None:
    train = require_module("ray.train")
    fit = require_module("ray.train.v2.api.data_parallel_trainer").DataParallelTrainer(
        run_process,
        train_loop_config=facts,
        scaling_config=train.ScalingConfig(
            num_workers=processes, resources_per_worker={"CPU": 1}, placement_strategy="SPREAD"
        ),
        run_config=train.RunConfig(
            name="train",
            storage_path=str(store),
            failure_config=train.FailureConfig(max_failures=MAX_FAILURES),
            worker_runtime_env={"env_vars": BACKEND},
        ),
    )
    cores = int(ray.cluster_resources().get("CPU", 0))
    if cores < processes:
        raise UsageError(f"The cluster has {cores} cores, too few for {processes} processes.")
    try:
        fit.fit()
    except train.TrainingFailedError as error:
        raise _cause(error, processes) from None
    except ray.exceptions.RayError as error:
        raise _lost(processes, type(error).__name__) from None


def _cause(error: Any, processes: int) -> CovidXrayError:
    """Return our own error that ended the processes, or one that names the other by its type."""
    failures = list(getattr(error, "worker_failures", {}).values())
    for failure in failures:
        cause = failure
        while cause is not None and not isinstance(cause, CovidXrayError):
            cause = getattr(cause, "cause", None) or cause.__cause__
        if cause is not None:
            return cause
    return _lost(processes, type(failures[0]).__name__ if failures else type(error).__name__)


def _lost(processes: int, reason: str) -> CovidXrayError:
    problem = f"Training with {processes} processes failed ({reason}). Run the same command with --resume to continue."
    return CovidXrayError(problem, code="lost-cluster")


def _run_in_thread(work: Callable[[], None], *, poll: Callable[[], None]) -> None:
    """Do the work in a thread and poll meanwhile: in the main thread Ray Train would intercept Ctrl-C."""
    failed: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(POLL_SECONDS)
        poll()
    if failed:
        raise failed[0]


class _ProgressReader:
    """Report progress from the history that the first process writes."""

    def __init__(self, run: "Run") -> None:
        self._run, self._epochs = run, 0
        run.progress("processes", 0, 1, "starting")

    def report(self) -> None:
        """Report a new epoch, if one has ended."""
        with contextlib.suppress(OSError, ValueError, IndexError):
            lines = (self._run.out / "history.csv").read_text(encoding="utf-8").splitlines()[1:]
            if len(lines) > self._epochs:
                self._epochs, row = len(lines), lines[-1].split(",")
                note = f"loss {float(row[1]):.3f}, validation: loss {float(row[3]):.3f}, F1 {float(row[5]):.3f}"
                self._run.progress(f"epoch {row[0]}/{self._run.settings.epochs}", 1, 1, note)


def run_process(facts: dict[str, Any]) -> None:
    """Join the other processes and train; the first of them writes checkpoint and history."""
    os.environ.update(BACKEND)
    context = require_module("ray.train").get_context()
    rank, count = context.get_world_rank(), context.get_world_size()
    address = require_module("ray.train.collective").broadcast_from_rank_zero(_free_address())
    if not facts["out"].is_dir():
        raise CovidXrayError(f"{facts['out']} is not shared by all nodes of the cluster.", code="not-shared")
    from covid_xray.training import processes

    processes.join(address, count=count, rank=rank)
    train_epochs(facts, is_first=rank == 0)


def train_epochs(facts: dict[str, Any], *, is_first: bool) -> None:
    """Train the remaining epochs in this process; the first process writes checkpoint and history."""
    import numpy as np

    from covid_xray.training.cache import PixelCache
    from covid_xray.training.epochs import Run, run_epochs
    from covid_xray.training.network import build_model
    from covid_xray.training.within_source.batches import sources_in

    settings, out = facts["settings"], facts["out"]
    pixels = np.load(out / "cache" / "pixels.npy", mmap_mode="r")
    cache = PixelCache(pixels, facts["rows"], settings.crop == "lungs-only")
    train, val = (dataclasses.replace(facts["parts"][name], cache=cache) for name in ("train", "val"))
    model = build_model(settings, len(train.classes), sources=sources_in(train))
    run_epochs(Run(settings, out, model, train, val, facts["identity"], lambda *_: None), writes=is_first)


def _free_address() -> str:
    """Return a HOST:PORT of this machine that is free."""
    with socket.create_server(("", 0)) as server:
        port = server.getsockname()[1]
    return f"{require_module('ray').util.get_node_ip_address()}:{port}"
