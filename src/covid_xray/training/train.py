"""A manifest and its split in, a run folder out: the training program.

    run folder: config.yaml split.csv history.csv model.keras bundle/ manifest.json (and checkpoint/ while it runs)

The loop is ours and short (`model.train_on_batch`), so that everything which decides how a run goes on is plain data in
the checkpoint: a run that was stopped ends where an undisturbed one would have.
"""

import csv
import dataclasses
import json
import os
import shutil
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd

from covid_xray import partial
from covid_xray.bundle.lungs import LungNetwork
from covid_xray.config import FREE, Training, load, to_yaml
from covid_xray.data.manifest import Manifest
from covid_xray.data.split import check_split, write_split
from covid_xray.errors import CovidXrayError, UsageError
from covid_xray.files import folder_lock, fsync_folder, replacing, sha256_bytes, write_text
from covid_xray.models import zoo
from covid_xray.training import checkpoint, precision, schedule
from covid_xray.training.batches import Part, some_of_each
from covid_xray.training.cache import PixelCache, build_cache
from covid_xray.training.epoch import steps_of, train_epoch, validate
from covid_xray.training.export import export
from covid_xray.training.initial import begin, resolved
from covid_xray.training.lung_crop import kept_network
from covid_xray.training.network import averaged, weights_of
from covid_xray.training.parts import part_of
from covid_xray.training.probe import probe_head
from covid_xray.training.run import calibrate_bundle, describe_data, write_run_manifest
from covid_xray.training.schedule import Schedule

# stage ("decode", "epoch 3/30", "export"), done, total, note ("loss 0.31 accuracy 0.88")
Progress = Callable[[str, int, int, str], None]
COLUMNS = ("epoch", "loss", "accuracy", "val_loss", "val_accuracy", "val_macro_f1", "learning_rate", "seconds")
# How long an epoch's saving may keep the next one waiting: seconds, or this share of an epoch where that is longer.
SAVING_SECONDS, SAVING_SHARE = 0.5, 0.1


class TrainingDiverged(CovidXrayError):
    """No epoch ended with a finite validation loss."""

    default_code = "diverged"


@dataclass(frozen=True, eq=False)
class _Run:
    """What stays the same over the epochs of one run."""

    settings: Training
    out: Path
    model: keras.Model
    train: Part
    val: Part
    identity: str
    lungs: LungNetwork | None
    initial: Mapping[str, Any] | None  # the bundle that the network began from
    progress: Progress


def train(
    manifest: Manifest,
    split: pd.Series,
    *,
    settings: Training,
    out: Path,
    resume: bool = False,
    cache: PixelCache | None = None,
    progress: Progress | None = None,
    each_epoch: Callable[[dict[str, float]], None] = lambda row: None,
) -> Path:
    """Train on the `train` part, choose the epoch on the `val` part, and write the run folder `out`.

    Args:
        manifest: images and labels, checked.
        split: image -> train, val or test; no patient or duplicate group on two sides.
        settings: network and recipe.
        out: the run folder; it must be new, or hold an unfinished run of the same settings and data with `resume`.
        resume: go on from the last complete epoch; a run that is finished stays as it is.
        cache: the images, decoded already; default: they are decoded into `out`.
        progress: called as (stage, done, total, note).
        each_epoch: called with the row of history.csv of every epoch that ends.

    Returns:
        The folder of the bundle.

    Raises:
        BadSplit, BadManifest: the data cannot be trained on; nothing was trained.
        UsageError: `out` holds another run.
        Busy: another process trains in `out`.
    """
    progress = progress or (lambda *_: None)
    check_split(manifest, split)
    settings = resolved(settings)
    with folder_lock(out):
        if _claim(out, settings, resume=resume):
            return out / "bundle"
        started = time.time()
        run = _prepare(manifest, split, settings=settings, out=out, cache=cache, progress=progress)
        last, best = _epochs(run, each_epoch)
        return _finish(run, manifest, split, last=last, best=best, seconds=time.time() - started)


def _claim(out: Path, settings: Training, *, resume: bool) -> bool:
    """Whether the run is finished already; clears what a killed process left. Raises `UsageError`."""
    config = out / "config.yaml"
    if config.exists() and not resume:
        raise UsageError(f"expected a new run folder. Received: {out} holds a run; name another, or add --resume")
    if resume and not config.exists() and not (out / "cache").exists():
        raise UsageError(f"expected an unfinished run in {out}. Received: none there")
    finished = (out / "manifest.json").exists()  # it is written last
    if finished and load(Training, file=config) != settings:
        raise UsageError(f"expected an unfinished run in {out}. Received: a finished one, of other settings")
    partial.clear(out)
    checkpoint.clear_leftovers(out / "checkpoint")
    if finished:
        _remove_scratch(out)
    return finished


def _prepare(
    manifest: Manifest, split: pd.Series, *, settings: Training, out: Path, cache: PixelCache | None, progress: Progress
) -> _Run:
    split = split.reindex(manifest.table["image"])
    used = manifest.take(split.isin(["train", "val"]).to_numpy())
    lungs = kept_network(settings, out)
    cache = cache or build_cache(
        used,
        folder=out / "cache",
        height=settings.image_size,
        width=settings.image_size,
        lungs=lungs if settings.crop == "lungs" else None,
        workers=settings.decode_workers,
        progress=lambda done, total: progress("decode", done, total, ""),
    )
    parts = {name: part_of(manifest, split, name, cache) for name in ("train", "val")}
    write_text(out / "config.yaml", to_yaml(settings))
    write_split(out / "split.csv", split, manifest)
    model, initial = begin(settings, manifest.classes)
    if initial:
        progress("init", 1, 1, f"{initial['name']} {initial['version']}, head {initial['head']}")
    identity = _identity(settings, split, manifest.classes, lungs, initial)
    return _Run(settings, out, model, parts["train"], parts["val"], identity, lungs, initial, progress)


def _identity(
    settings: Training,
    split: pd.Series,
    classes: tuple[str, ...],
    lungs: LungNetwork | None,
    initial: Mapping[str, Any] | None,
) -> str:
    """Hash of everything a checkpoint depends on, the number of epochs aside: a run may be prolonged."""
    facts = settings.model_dump(mode="json", exclude=set(FREE))
    rows = sorted((str(image), str(part)) for image, part in split.items())
    begun = [initial["sha256"]] if initial else []
    return sha256_bytes(json.dumps([facts, classes, rows, lungs and lungs.facts["sha256"], *begun]).encode())


def _epochs(run: _Run, each: Callable[[dict[str, float]], None]) -> tuple[Schedule, checkpoint.Arrays]:
    """Run the epochs that are left; returns the final schedule and the best weights."""
    state, best = _restore(run)
    folder = run.out / "checkpoint"
    saved: Future[None] | None = None
    # Saving may overlap the next epoch: a third of a gigabyte takes a second or two to hash and fsync.
    with ThreadPoolExecutor(1, thread_name_prefix="checkpoint") as writer:
        while not schedule.finished(state, run.settings):
            state, row, weights = _epoch(run, state)
            variables = [np.array(keras.ops.convert_to_numpy(v)) for v in _variables(run.model)]
            if state.is_best:
                best = weights
            if saved:
                saved.result()
            _append_history(run.out / "history.csv", row)
            each(row)
            saved = writer.submit(checkpoint.save, folder, checkpoint.Generation(variables, best, state, run.identity))
            # Usually it is done before the next epoch begins, so that a kill then costs that epoch and no more.
            wait([saved], timeout=max(SAVING_SECONDS, SAVING_SHARE * row["seconds"]))
        if saved:
            saved.result()
    if run.settings.epochs and not state.best_epoch:
        raise TrainingDiverged(
            f"expected an epoch with a finite validation loss. Received: none in {state.epoch}; "
            "a smaller learning_rate or precision=float32 may help"
        )
    return state, best


def _restore(run: _Run) -> tuple[Schedule, checkpoint.Arrays]:
    run.model.optimizer.build(run.model.trainable_variables)
    folder = run.out / "checkpoint"
    if not checkpoint.exists(folder):
        (run.out / "history.csv").unlink(missing_ok=True)
        if run.settings.probe:
            run.progress("probe", 0, 1, "")
            probe_head(run.model, run.train, settings=run.settings)
        # Without an epoch the probe is the result.
        return schedule.start(run.settings), [] if run.settings.epochs else weights_of(run.model)
    generation = checkpoint.load(folder)
    if generation.run != run.identity:
        raise UsageError(f"expected the settings and data that {run.out} was started with. Received: others")
    for reason in generation.passed_over:
        run.progress("checkpoint", 1, 1, f"{reason}; going on from epoch {generation.schedule.epoch}")
    for variable, value in zip(_variables(run.model), generation.variables, strict=True):
        variable.assign(value)
    _cut_history(run.out / "history.csv", generation.schedule.epoch)
    return generation.schedule, generation.best


def _variables(model: keras.Model) -> list[Any]:
    """All state of a run: weights, dropout's random states, the optimiser's moments. Metrics start anew each epoch."""
    return [*model.variables, *model.optimizer.variables]


def _epoch(run: _Run, state: Schedule) -> tuple[Schedule, dict[str, float], checkpoint.Arrays]:
    number, started = state.epoch + 1, time.perf_counter()
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
        val_loss, val_accuracy, val_f1 = validate(run.model, run.val, batch_size=run.settings.batch_size)
        best = weights_of(run.model)
    after = schedule.after_epoch(state, val_loss=val_loss, settings=run.settings)
    values = (number, logs["loss"], logs["accuracy"], val_loss, val_accuracy, val_f1)
    row = dict(zip(COLUMNS, (*values, state.learning_rate, time.perf_counter() - started), strict=True))
    steps = steps_of(run.train, run.settings)
    note = f"loss {logs['loss']:.3f}, validation: loss {val_loss:.3f}, accuracy {val_accuracy:.3f}, F1 {val_f1:.3f}"
    run.progress(stage, steps, steps, note + (" (best)" if after.is_best else ""))
    return after, row, best


def _append_history(path: Path, row: dict[str, float]) -> None:
    new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        if new:
            writer.writerow(COLUMNS)
        writer.writerow([row["epoch"], *(f"{row[name]:.6g}" for name in COLUMNS[1:])])
        stream.flush()
        os.fsync(stream.fileno())
    if new:
        fsync_folder(path.parent)


def _cut_history(path: Path, epochs: int) -> None:
    """Drop the lines of epochs that the checkpoint does not know."""
    if path.is_file():
        lines = path.read_text(encoding="utf-8").splitlines()[: epochs + 1]
        write_text(path, "\n".join(lines) + "\n")


def _finish(
    run: _Run, manifest: Manifest, split: pd.Series, *, last: Schedule, best: checkpoint.Arrays, seconds: float
) -> Path:
    run.progress("export", 0, 1, "")
    with precision.policy("float32"):
        model = zoo.build(run.settings.model_copy(update={"weights": None}), len(manifest.classes))
    model.set_weights(list(best))
    with replacing(run.out / "model.keras") as temporary:
        model.save(temporary)
    told = run.settings.model_dump(mode="json", exclude={"lungs", "init"})  # paths of this machine
    facts = {
        "name": run.settings.model,
        "version": run.identity[:12],
        "classes": list(manifest.classes),
        "training_data": describe_data(manifest, split),
        "training": {"settings": told, **dataclasses.asdict(last), **({"init": run.initial} if run.initial else {})},
    }
    parity = export(model, run.out / "bundle", facts=facts, images=some_of_each(run.val), lungs=run.lungs)
    run.progress("export", 1, 1, f"parity with Keras: {max(parity.values()):.1e}")
    reason = schedule.finished(last, run.settings) or ""
    calibrated = calibrate_bundle(run.out / "bundle", manifest, split, progress=run.progress)
    write_run_manifest(run.out, facts=facts, parity=parity, seconds=seconds, ended=reason, calibrated=calibrated)
    _remove_scratch(run.out)
    return run.out / "bundle"


def _remove_scratch(out: Path) -> None:
    for scratch in ("cache", "checkpoint"):
        shutil.rmtree(out / scratch, ignore_errors=True)
