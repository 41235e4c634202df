"""Run the epochs of one training, from its checkpoint or from the beginning, and save each as it ends.

The loop is our own (`model.train_on_batch`), so that the whole state of a run is plain data in the checkpoint: a run
that was stopped ends where an undisturbed one would have. Several processes may run it together.
"""

import csv
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import f1_score

from covid_xray.bundle.lung_network import LungNetwork
from covid_xray.config import Training
from covid_xray.data.manifest.manifest import Manifest
from covid_xray.errors import UsageError
from covid_xray.files import fsync_folder, write_text
from covid_xray.training import checkpoint, devices, processes, schedule
from covid_xray.training.batches import Batch, Part, plain_batches, prefetch, training_batches
from covid_xray.training.cache import PixelCache
from covid_xray.training.head.probe import probe_head
from covid_xray.training.network import averaged, begin_layers, weights_of
from covid_xray.training.recipe.divergence import diverged, stop_if_lost
from covid_xray.training.recipe.layer_plan import LayerPlan, plan_layers
from covid_xray.training.sampling import GroupWeights, group_numbers
from covid_xray.training.schedule import Schedule
from covid_xray.training.within_source.batches import contrast_batches, judge, sources_in, steps_in

# stage ("decode", "epoch 3/30", "export"), done, total, note ("loss 0.31 accuracy 0.88")
Progress = Callable[[str, int, int, str], None]
COLUMNS = ("epoch", "loss", "accuracy", "val_loss", "val_accuracy", "val_macro_f1", "learning_rate", "seconds")
# The same with objective=within_source: accuracy is the share of pairs in the right order, AUROC is inside contrasts.
RANKING_COLUMNS = ("epoch", "loss", "accuracy", "val_loss", "val_auroc", "val_worst_auroc", "learning_rate", "seconds")
# How long an epoch's saving may keep the next one waiting: seconds, or this share of an epoch where that is longer.
SAVING_SECONDS, SAVING_SHARE = 0.5, 0.1


@dataclass(frozen=True, eq=False)
class Run:
    """The constants of one run: settings, folder, network, data."""

    settings: Training
    out: Path
    model: keras.Model
    train: Part
    val: Part
    identity: str
    progress: Progress
    lungs: LungNetwork | None = None
    initial: Mapping[str, Any] | None = None  # the bundle that the network began from
    teachers: Sequence[Mapping[str, Any]] = ()  # the bundles that it learns from

    @cached_property
    def plan(self) -> LayerPlan:
        """Which layers are trained in which epoch."""
        return plan_layers(self.model, self.settings)


def run_epochs(
    run: Run, each: Callable[[dict[str, float]], None] = lambda row: None, *, writes: bool = True
) -> tuple[Schedule, checkpoint.Arrays]:
    """Run the epochs that are left; return the final schedule and the best weights.

    Args:
        run: the network and its data.
        each: called with the row of history.csv of every epoch that ends.
        writes: keep checkpoint and history; of several processes that train together the first does.

    Raises:
        TrainingDiverged: no epoch had a finite validation loss.
        UsageError: the checkpoint is of another run.
    """
    state, best = _restore(run)
    folder = run.out / "checkpoint"
    saved: Future[None] | None = None
    # Saving may overlap the next epoch: a third of a gigabyte takes a second or two to hash and fsync.
    with ThreadPoolExecutor(1, thread_name_prefix="checkpoint") as writer:
        while not schedule.finished(state, run.settings):
            state, row, weights = _epoch(run, state)
            variables = _values(run.model)
            if state.is_best:
                best = weights
            if not writes:
                continue
            if saved:
                saved.result()
            _append_history(run.out / "history.csv", row)
            each(row)
            stop_if_lost(run.out, run.val, run.settings, state=state, row=row)
            saved = writer.submit(checkpoint.save, folder, checkpoint.Generation(variables, best, state, run.identity))
            # Usually it is done before the next epoch begins, so that a kill then costs that epoch and no more.
            wait([saved], timeout=max(SAVING_SECONDS, SAVING_SHARE * row["seconds"]))
        if saved:
            saved.result()
    if run.settings.epochs and not state.best_epoch:
        raise diverged(f"none of {state.epoch} epochs has a finite validation loss", run.settings)
    return state, best


def begin_checkpoint(run: Run) -> None:
    """Save the state of a run before its first epoch, unless it has a checkpoint: other processes continue from it."""
    if not checkpoint.exists(run.out / "checkpoint"):
        state, best = _restore(run)
        checkpoint.save(run.out / "checkpoint", checkpoint.Generation(_values(run.model), best, state, run.identity))


def begin_run(run: Run) -> None:
    """Freeze the layers of the first epoch, and fit the head before it where the settings say so."""
    _begin_layers(run, 1)
    if run.settings.probe:
        run.progress("probe", 0, 1, "")
        probe_head(run.model, run.train, settings=run.settings, lungs=run.lungs)


def _restore(run: Run) -> tuple[Schedule, checkpoint.Arrays]:
    folder = run.out / "checkpoint"
    if not checkpoint.exists(folder):
        (run.out / "history.csv").unlink(missing_ok=True)
        begin_run(run)
        # Without an epoch the probe is the result.
        return schedule.start(run.settings), [] if run.settings.epochs else weights_of(run.model)
    generation = checkpoint.load(folder)
    if generation.run != run.identity:
        raise UsageError(
            f"{run.out} was started with other settings or data. Resume it with the same ones, or name a new folder."
        )
    for reason in generation.skipped:
        run.progress("checkpoint", 1, 1, f"{reason} Continuing from epoch {generation.schedule.epoch}.")
    _begin_layers(run, max(1, generation.schedule.epoch))  # whose optimiser it holds
    for variable, value in zip(_variables(run.model), generation.variables, strict=True):
        variable.assign(value)
    _cut_history(run.out / "history.csv", generation.schedule.epoch)
    return generation.schedule, generation.best


def _begin_layers(run: Run, epoch: int) -> None:
    if begin_layers(run.model, run.plan, run.settings, epoch=epoch, sources=sources_in(run.train)):
        counts = [sum(math.prod(v.shape) for v in of) for of in (run.model.trainable_variables, run.model.weights)]
        run.progress("layers", 1, 1, f"from epoch {epoch} on {counts[0]:,} of {counts[1]:,} weights are trained")


def _variables(model: keras.Model) -> list[Any]:
    """List all state of a run: weights, random states of dropout, moments of the optimiser. Metrics start anew."""
    return [*model.variables, *model.optimizer.variables]


def _values(model: keras.Model) -> checkpoint.Arrays:
    return [np.array(keras.ops.convert_to_numpy(v)) for v in _variables(model)]


def _epoch(run: Run, state: Schedule) -> tuple[Schedule, dict[str, float], checkpoint.Arrays]:
    number, started = state.epoch + 1, time.perf_counter()
    _begin_layers(run, number)
    run.model.optimizer.learning_rate.assign(state.learning_rate)
    stage = f"epoch {number}/{run.settings.epochs}"
    logs = train_epoch(
        run.model,
        run.train,
        settings=run.settings,
        epoch=number,
        watch=lambda step, steps, note: run.progress(stage, step, steps, note),
    )
    with averaged(run.model):
        val_loss, *measured = _validate(run)
        best = weights_of(run.model)
    # Processes of different machines may differ in the last digit, and all of them have to stop at the same epoch.
    val_loss = processes.broadcast(val_loss)
    after = schedule.after_epoch(state, val_loss=val_loss, settings=run.settings)
    names = columns(run.settings)
    values = (number, logs["loss"], logs["accuracy"], val_loss, *measured)
    row = dict(zip(names, (*values, state.learning_rate, time.perf_counter() - started), strict=True))
    steps = steps_of(run.train, run.settings)
    figures = [f"{name.removeprefix('val_').replace('_', ' ')} {row[name]:.3f}" for name in names[3:6]]
    note = f"loss {logs['loss']:.3f}, validation: {', '.join(figures)}"
    run.progress(stage, steps, steps, note + (" (best)" if after.is_best else ""))
    return after, row, best


def columns(settings: Training) -> tuple[str, ...]:
    """Return the columns of history.csv."""
    return RANKING_COLUMNS if settings.objective == "within_source" else COLUMNS


def _validate(run: Run) -> tuple[float, float, float]:
    if run.settings.objective == "within_source":
        return judge(lambda x: devices.predict_on_batch(run.model, x), run.val, settings=run.settings)
    return validate(run.model, run.val, batch_size=run.settings.batch_size)


def _append_history(path: Path, row: dict[str, float]) -> None:
    new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        if new:
            writer.writerow(row)
        writer.writerow([int(row["epoch"]), *(f"{value:.6g}" for name, value in row.items() if name != "epoch")])
        stream.flush()
        os.fsync(stream.fileno())
    if new:
        fsync_folder(path.parent)


def _cut_history(path: Path, epochs: int) -> None:
    """Drop the lines of epochs after the checkpoint."""
    if path.is_file():
        lines = path.read_text(encoding="utf-8").splitlines()[: epochs + 1]
        write_text(path, "\n".join(lines) + "\n")


def train_epoch(
    model: keras.Model,
    part: Part,
    *,
    settings: Training,
    epoch: int,
    watch: Callable[[int, int, str], None] | None = None,
) -> dict[str, float]:
    """Train the compiled `model` for one pass over `part`, augmented; return the mean loss and accuracy.

    `watch` is called with (step, steps, note) after each batch but the last.
    """
    steps = steps_of(part, settings)
    robust = GroupWeights(int(part.groups.max()) + 1, step=settings.worst_group) if settings.worst_group else None
    seen, sums = 0, {"loss": 0.0, "accuracy": 0.0}
    draw = contrast_batches if settings.objective == "within_source" else training_batches
    for step, batch in enumerate(prefetch(draw(part, settings=settings, epoch=epoch)), start=1):
        model.reset_metrics()  # so that the logs are of this batch, in every Keras version
        weight = batch.weight * robust.update(batch.groups, _losses(model, batch)) if robust else batch.weight
        logs = devices.train_on_batch(model, batch.x, batch.y, weight=weight)
        seen += len(batch.images)
        sums = {name: sums[name] + float(logs[name]) * len(batch.images) for name in sums}
        if watch and step < steps:
            watch(step, steps, f"loss {sums['loss'] / seen:.3f}")
    return {name: value / seen for name, value in sums.items()}


def steps_of(part: Part, settings: Training) -> int:
    """Count the batches of one epoch."""
    if settings.objective == "within_source":
        return steps_in(part, settings)
    drawn = settings.samples_per_epoch if settings.sampling == "balanced" else 0
    return -(-(drawn or len(part)) // settings.batch_size)


def _losses(model: keras.Model, batch: Batch) -> NDArray[np.float64]:
    """Compute the cross-entropy of each image with the current weights: group DRO weighs the groups by it."""
    probabilities = np.asarray(devices.predict_on_batch(model, batch.x), dtype=np.float64)
    labels = batch.y[:, : probabilities.shape[1]]
    return np.asarray(-np.log(np.clip((probabilities * labels).sum(axis=1), 1e-7, None)))


def validate(model: keras.Model, part: Part, *, batch_size: int) -> tuple[float, float, float]:
    """Compute cross-entropy, accuracy and macro-F1 on a part."""
    labels, losses, predicted = [], [], []
    for batch in prefetch(plain_batches(part, batch_size=batch_size)):
        probabilities = np.asarray(devices.predict_on_batch(model, batch.x), dtype=np.float64)
        truth = batch.y.argmax(axis=1)
        labels += truth.tolist()
        predicted += probabilities.argmax(axis=1).tolist()
        losses += (-np.log(np.clip(probabilities[np.arange(len(truth)), truth], 1e-7, None))).tolist()
    accuracy = float(np.mean(np.array(labels) == np.array(predicted)))
    return float(np.mean(losses)), accuracy, float(f1_score(labels, predicted, average="macro", zero_division=0))


def part_of(manifest: Manifest, split: pd.Series, name: str, cache: PixelCache) -> Part:
    """Select the images of the part `name` (train, val ...), with labels as numbers in the order of classes."""
    rows = (split.reindex(manifest.table["image"]) == name).to_numpy()
    part = manifest.take(rows).table
    part = part[[cache.usable(image) for image in part["image"]]]
    codes = np.array([manifest.classes.index(label) for label in part["label"]], dtype=np.int64)
    sources = list(part["source"]) if "source" in part else [""] * len(part)
    groups = group_numbers(codes.tolist(), sources)
    return Part(tuple(part["image"]), codes, manifest.classes, cache, groups, sources=tuple(sources))
