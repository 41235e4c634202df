"""The epochs of one training run, by several processes together: Keras on JAX, started by Ray Train.

`train_together` is what `training.train.train` takes as `elsewhere`: the run's checkpoint comes in, and after every
epoch a newer one goes out, so whoever dies, all go on from the last whole epoch. Every process walks through the same
batches and computes its share of each, so the loss is that of one process with the same batch. Ray Train starts the
processes, and starts them anew; where they meet is told through it, since its own JaxTrainer brings processes together
on TPUs and GPUs only (2.60). The run folder is one that all nodes share.

    run folder: as of `train`, and processes.json: how many trained, how many images of a batch each
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

from covid_xray.cluster.extras import need
from covid_xray.cluster.ray_session import connected
from covid_xray.config import Training
from covid_xray.errors import CovidXrayError, UsageError
from covid_xray.files import write_json

if TYPE_CHECKING:
    from covid_xray.training.epochs import Run

BACKEND = {"KERAS_BACKEND": "jax"}
LIVES = 3  # of the processes together
LOOK_SECONDS = 1.0  # between two looks at the history that the first process writes


def trainer(settings: Training, *, processes: int, address: str | None = None) -> Callable[["Run"], None]:
    """What `training.train.train` takes as `elsewhere`: the epochs of a run, by so many processes together.

    On a cluster they are spread over its nodes; each uses all cores of its node.

    Args:
        settings: of the run.
        processes: how many.
        address: of `ray_session.connected`.

    Raises:
        MissingPackage: Ray or JAX is not installed.
        UsageError: settings that do not go together with so many processes.
    """
    _check(settings, processes)
    need("ray.train")
    need("jax")

    def train_together(run: "Run") -> None:
        facts = _facts(run)
        each = -(-run.settings.batch_size // processes)
        with connected(address, cpus=processes) as ray:
            fit = partial(_fit, ray, facts, processes=processes, store=run.out.resolve() / "ray")
            _waited(fit, look=_History(run).tell)
        shutil.rmtree(run.out / "ray", ignore_errors=True)
        write_json(run.out / "processes.json", {"processes": processes, "images_each": each})

    return train_together


def _facts(run: "Run") -> dict[str, Any]:
    """What a process has to know; the pixels lie in the run folder."""
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
        raise UsageError(f"expected devices=1 with --processes. Received: devices={settings.devices}")
    if settings.batch_size < processes:
        raise UsageError(
            f"expected a batch of at least one image a process. Received: batch_size={settings.batch_size} "
            f"for {processes} processes"
        )


def _fit(ray: Any, facts: dict[str, Any], *, processes: int, store: Path) -> None:
    train = need("ray.train")
    fit = need("ray.train.v2.api.data_parallel_trainer").DataParallelTrainer(
        one_process,
        train_loop_config=facts,
        scaling_config=train.ScalingConfig(
            num_workers=processes, resources_per_worker={"CPU": 1}, placement_strategy="SPREAD"
        ),
        run_config=train.RunConfig(
            name="train",
            storage_path=str(store),
            failure_config=train.FailureConfig(max_failures=LIVES),
            worker_runtime_env={"env_vars": BACKEND},
        ),
    )
    cores = int(ray.cluster_resources().get("CPU", 0))
    if cores < processes:
        raise UsageError(f"expected a cluster with a core for each of {processes} processes. Received: {cores} cores")
    try:
        fit.fit()
    except train.TrainingFailedError as error:
        raise _cause(error, processes) from None
    except ray.exceptions.RayError as error:
        raise _lost(processes, type(error).__name__) from None


def _cause(error: Any, processes: int) -> CovidXrayError:
    """What ended the processes: an error of ours as it is, anything else by its name."""
    failures = list(getattr(error, "worker_failures", {}).values())
    for failure in failures:
        cause = failure
        while cause is not None and not isinstance(cause, CovidXrayError):
            cause = getattr(cause, "cause", None) or cause.__cause__
        if cause is not None:
            return cause
    return _lost(processes, type(failures[0]).__name__ if failures else type(error).__name__)


def _lost(processes: int, what: str) -> CovidXrayError:
    return CovidXrayError(
        f"expected {processes} processes that train to the end. Received: {what}; "
        "the same command with --resume goes on from the last whole epoch",
        code="lost-cluster",
    )


def _waited(work: Callable[[], None], *, look: Callable[[], None]) -> None:
    """Do the work in another thread and look at how it goes: in this one Ray Train would take Ctrl-C for itself."""
    failed: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(LOOK_SECONDS)
        look()
    if failed:
        raise failed[0]


class _History:
    """Tells progress by the history that the first process writes."""

    def __init__(self, run: "Run") -> None:
        self._run, self._seen = run, 0
        run.progress("processes", 0, 1, "starting")

    def tell(self) -> None:
        """Look whether another epoch has ended."""
        with contextlib.suppress(OSError, ValueError, IndexError):
            lines = (self._run.out / "history.csv").read_text(encoding="utf-8").splitlines()[1:]
            if len(lines) > self._seen:
                self._seen, row = len(lines), lines[-1].split(",")
                note = f"loss {float(row[1]):.3f}, validation: loss {float(row[3]):.3f}, F1 {float(row[5]):.3f}"
                self._run.progress(f"epoch {row[0]}/{self._run.settings.epochs}", 1, 1, note)


def one_process(facts: dict[str, Any]) -> None:
    """The life of one process: it meets the others and trains with them; the first of them keeps what comes out."""
    os.environ.update(BACKEND)
    context = need("ray.train").get_context()
    rank, count = context.get_world_rank(), context.get_world_size()
    meeting = need("ray.train.collective").broadcast_from_rank_zero(_free_address())
    if not facts["out"].is_dir():
        raise CovidXrayError(
            f"expected a run folder that every node of the cluster has. Received: {facts['out']}, which is not there",
            code="not-shared",
        )
    from covid_xray.training import processes

    processes.join(meeting, count=count, rank=rank)
    train_epochs(facts, is_first=rank == 0)


def train_epochs(facts: dict[str, Any], *, is_first: bool) -> None:
    """The epochs that are left, in this process; checkpoint and history are written by the first."""
    import numpy as np

    from covid_xray.training.cache import PixelCache
    from covid_xray.training.epochs import Run, run_epochs
    from covid_xray.training.network import build_model

    settings, out = facts["settings"], facts["out"]
    cache = PixelCache(np.load(out / "cache" / "pixels.npy", mmap_mode="r"), facts["rows"])
    train, val = (dataclasses.replace(facts["parts"][name], cache=cache) for name in ("train", "val"))
    model = build_model(settings, len(train.classes))
    run_epochs(Run(settings, out, model, train, val, facts["identity"], lambda *_: None), writes=is_first)


def _free_address() -> str:
    """HOST:PORT of this machine at which nothing listens."""
    with socket.create_server(("", 0)) as server:
        port = server.getsockname()[1]
    return f"{need('ray').util.get_node_ip_address()}:{port}"
