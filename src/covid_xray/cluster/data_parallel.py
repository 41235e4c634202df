"""A manifest and its split in, a run folder out, trained by several processes together: Keras on JAX under Ray Train.

    run folder: config.yaml split.csv history.csv processes.json model.keras; `covid-xray export` makes its bundle

Every process walks through the same batches and computes its share of each, so the loss is that of one
process with the same batch. Ray Train starts them and starts them anew; where they meet is told through it, since its
own JaxTrainer brings processes together on TPUs and GPUs only (2.60). The run folder is shared by all nodes.
"""

import dataclasses
import os
import shutil
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

from covid_xray.cluster.extras import need
from covid_xray.cluster.ray_session import connected
from covid_xray.config import Training, to_yaml
from covid_xray.errors import CovidXrayError, UsageError
from covid_xray.files import folder_lock, replacing, write_json, write_text

if TYPE_CHECKING:
    import pandas as pd

    from covid_xray.data.manifest import Manifest

BACKEND = {"KERAS_BACKEND": "jax"}
LIVES = 2  # of the processes together


def train_together(
    manifest: "Manifest",
    split: "pd.Series",
    *,
    settings: Training,
    out: Path,
    processes: int,
    address: str | None = None,
    cores: int = 1,
) -> Path:
    """Train all epochs of `settings` in so many processes; returns the run folder.

    The best weights are those of the lowest validation loss; there is no early stopping and no resuming inside a run.

    Args:
        manifest, split, settings: as for `training.train.train`; dropout draws other numbers in every process.
        out: a new folder that every node has.
        processes: how many.
        address: of `ray_session.connected`.
        cores: of one process.

    Raises:
        UsageError: `out` is not empty.
        CovidXrayError: a process failed (`lost-cluster`).
    """
    with folder_lock(out):
        if (out / "config.yaml").exists():
            raise UsageError(f"expected a new run folder. Received: {out} holds a run; name another")
        from covid_xray.data.split import write_split

        whole = dataclasses.replace(manifest, root=manifest.root.resolve())
        write_text(out / "config.yaml", to_yaml(settings))
        write_split(out / "split.csv", split, manifest)
        facts = {"manifest": whole, "split": split, "settings": settings, "out": out.resolve()}
        from covid_xray.training.crossval import decoded

        decoded(whole, out / "cache", settings, lambda *_: None)  # once, for all
        with connected(address, cpus=processes * cores) as ray:
            _start(ray, facts, processes=processes, cores=cores, store=out.resolve() / "ray")
        shutil.rmtree(out / "cache", ignore_errors=True)
    return out


def _start(ray: Any, facts: dict[str, Any], *, processes: int, cores: int, store: Path) -> None:
    train = need("ray.train")
    trainer = need("ray.train.v2.api.data_parallel_trainer").DataParallelTrainer(
        one_process,
        train_loop_config=facts,
        scaling_config=train.ScalingConfig(num_workers=processes, resources_per_worker={"CPU": cores}),
        run_config=train.RunConfig(
            name="train",
            storage_path=str(store),
            failure_config=train.FailureConfig(max_failures=LIVES),
            worker_runtime_env={"env_vars": BACKEND},
        ),
    )
    try:
        trainer.fit()
    except (train.TrainingFailedError, train.ControllerError, train.WorkerGroupError, ray.exceptions.RayError) as error:
        raise CovidXrayError(
            f"expected {processes} processes that train to the end. Received: {type(error).__name__}",
            code="lost-cluster",
        ) from None


def one_process(facts: dict[str, Any]) -> None:
    """The life of one process: it meets the others, trains with them, and the first of them writes what came out."""
    os.environ.update(BACKEND)
    context = need("ray.train").get_context()
    rank, count = context.get_world_rank(), context.get_world_size()
    meeting = need("ray.train.collective").broadcast_from_rank_zero(_free_address())
    from covid_xray.training import processes

    processes.join(meeting, count=count, rank=rank)
    train_epochs(facts, is_first=rank == 0)


def train_epochs(facts: dict[str, Any], *, is_first: bool) -> None:
    """All epochs of this process; `history.csv` and `model.keras` are written by the first."""
    import keras

    from covid_xray.training import processes
    from covid_xray.training.crossval import decoded
    from covid_xray.training.epoch import train_epoch, validate
    from covid_xray.training.network import build_model, weights_of
    from covid_xray.training.parts import part_of
    from covid_xray.training.train import COLUMNS

    settings, out = facts["settings"], facts["out"]
    manifest, split = facts["manifest"], facts["split"]
    cache = decoded(manifest, out / "cache", settings, lambda *_: None)
    parts = {name: part_of(manifest, split, name, cache) for name in ("train", "val")}
    model = build_model(settings, len(parts["train"].classes))
    rows, best = [], weights_of(model)
    for epoch in range(1, settings.epochs + 1):
        logs = train_epoch(model, parts["train"], settings=settings, epoch=epoch)
        measured = validate(model, parts["val"], batch_size=settings.batch_size)
        values = (epoch, logs["loss"], logs["accuracy"], *measured, settings.learning_rate, 0.0)
        rows.append(dict(zip(COLUMNS, values, strict=True)))
        if rows[-1]["val_loss"] == min(row["val_loss"] for row in rows):
            best = weights_of(model)
    if is_first:
        write_json(
            out / "processes.json",
            {"processes": processes.count(), "images_each": settings.batch_size // processes.count()},
        )
        keras.distribution.set_distribution(None)
        _write(out, rows, settings, best, classes=len(parts["train"].classes))


def _write(out: Path, rows: list[dict[str, Any]], settings: Training, best: list[Any], *, classes: int) -> None:
    from covid_xray.models import zoo

    lines = [",".join(rows[0]), *(",".join(f"{value:.8g}" for value in row.values()) for row in rows)]
    write_text(out / "history.csv", "\n".join(lines) + "\n")
    model = zoo.build(settings.model_copy(update={"weights": None}), classes)
    model.set_weights(best)
    with replacing(out / "model.keras") as temporary:
        model.save(temporary)


def _free_address() -> str:
    """HOST:PORT of this machine at which nothing listens."""
    with socket.create_server(("", 0)) as server:
        port = server.getsockname()[1]
    return f"{need('ray').util.get_node_ip_address()}:{port}"
