"""Train a network on a manifest and its split, and write the run folder.

    run folder: config.yaml split.csv history.csv model.keras bundle/ manifest.json (and checkpoint/ while it runs)

A run that was stopped ends where an undisturbed one would have (`epochs`).
"""

import dataclasses
import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import pandas as pd

from covid_xray import partial
from covid_xray.bundle.lung_network import LungNetwork
from covid_xray.config import FREE, Training, load, to_yaml
from covid_xray.data.manifest.manifest import Manifest
from covid_xray.data.split.split import check_split, write_split
from covid_xray.errors import UsageError
from covid_xray.files import folder_lock, replacing, sha256_bytes, write_text
from covid_xray.models import own, zoo
from covid_xray.models.pretrained import weights_file
from covid_xray.models.two_step import is_two_step
from covid_xray.training import checkpoint, precision, schedule
from covid_xray.training.batches import some_of_each
from covid_xray.training.cache import PixelCache, build_cache
from covid_xray.training.epochs import Progress, Run, begin_checkpoint, part_of, run_epochs
from covid_xray.training.finish_run import calibrate_bundle, describe_data, list_trained, write_run_manifest
from covid_xray.training.lung_crop import FOLDER, kept_network, network_of
from covid_xray.training.memory import available, describe_shortage, needed
from covid_xray.training.network import check_layers
from covid_xray.training.onnx.export import export, prove_export
from covid_xray.training.recipe.distillation import check_teachers, describe_teachers, open_teachers, teach
from covid_xray.training.schedule import Schedule
from covid_xray.training.track import tracked
from covid_xray.training.warm_start import begin, resolved
from covid_xray.training.within_source.answering import answers, assemble
from covid_xray.training.within_source.batches import sources_in

PATHS = {"lungs", "init", "average_of", "distill_from"}  # settings that are of this machine
EachEpoch = Callable[[dict[str, float]], None]


def check_start(settings: Training, out: Path, *, resume: bool = False) -> Training:
    """Check before any image is decoded that a run can begin; return the settings as they will be used.

    A network that is not ours is exported untrained: one that no bundle can be made of would fail after hours.

    Raises:
        UsageError: settings that contradict each other or do not fit the network, or `out` holds another run.
        ExportFailed: the network cannot be exported.
        InputRefused, BadBundle: a bundle or lung network that the settings name is missing.
    """
    settings = zoo.checked(resolved(settings))
    _refuse_other_run(out, resume=resume)
    if not (out / FOLDER).is_dir():
        network_of(settings)
    check_layers(settings)
    check_teachers(settings)
    if settings.model not in zoo.MODELS:
        if settings.weights:
            zoo.build(settings, 2)  # Keras alone knows whether they can be had
        prove_export(settings, classes=own.classes_of(settings.model) or 2)
    return settings


def train(
    manifest: Manifest,
    split: pd.Series,
    *,
    settings: Training,
    out: Path,
    resume: bool = False,
    cache: PixelCache | None = None,
    progress: Progress | None = None,
    each_epoch: EachEpoch = lambda row: None,
    elsewhere: Callable[[Run], None] | None = None,
) -> Path:
    """Train on the `train` part, choose the epoch on the `val` part, and write the run folder `out`.

    Args:
        manifest: images and labels, checked.
        split: image -> train, val or test; no patient or duplicate group in two parts.
        settings: network and recipe.
        out: the run folder; it must be new, or hold an unfinished run of the same settings and data with `resume`.
        resume: continue from the last complete epoch; a finished run stays as it is.
        cache: the images, decoded already; default: they are decoded into `out`.
        progress: called as (stage, done, total, note).
        each_epoch: called with the row of history.csv of every epoch that ends here.
        elsewhere: runs the epochs, from the checkpoint of the run and into it; default: they are run here.

    Returns:
        The folder of the bundle.

    Raises:
        BadSplit, BadManifest: the data cannot be trained on; nothing was trained.
        UsageError: `out` holds another run.
        Busy: another process trains in `out`.
    """
    progress = progress or (lambda *_: None)
    check_split(manifest, split)
    settings = zoo.checked(resolved(settings))
    with folder_lock(out, scratch=("cache", FOLDER)):
        if _claim(out, settings, resume=resume):
            return out / "bundle"
        started = time.time()
        run = prepare(manifest, split, settings=settings, out=out, cache=cache, progress=progress)
        if elsewhere:
            begin_checkpoint(run)
            elsewhere(run)
        with tracked(settings, out) as track:
            last, best = run_epochs(run, _both(track, each_epoch))  # the last of them, where they were run elsewhere
        return _finish(run, manifest, split, last=last, best=best, seconds=time.time() - started)


def _both(first: EachEpoch, second: EachEpoch) -> EachEpoch:
    """Call two functions with each row."""

    def each(row: dict[str, float]) -> None:
        first(row)
        second(row)

    return each


def _claim(out: Path, settings: Training, *, resume: bool) -> bool:
    """Check the run folder, clear leftovers of a killed process, and say whether the run is finished already."""
    _refuse_other_run(out, resume=resume)
    finished = (out / "manifest.json").exists()  # it is written last
    if finished and load(Training, file=out / "config.yaml") != settings:
        raise UsageError(f"The run in {out} is finished, with other settings. Name a new folder.")
    partial.clear(out)
    checkpoint.clear_leftovers(out / "checkpoint")
    if finished:
        _remove_scratch(out)
    return finished


def _refuse_other_run(out: Path, *, resume: bool) -> None:
    config = out / "config.yaml"
    if config.exists() and not resume:
        raise UsageError(f"{out} already holds a run. Name a new folder, or continue the run with --resume.")
    if resume and not config.exists() and not (out / "cache").exists():
        raise UsageError(f"No unfinished run in {out}. Start one without --resume.")


def prepare(
    manifest: Manifest, split: pd.Series, *, settings: Training, out: Path, cache: PixelCache | None, progress: Progress
) -> Run:
    """Decode the images, build the network and write config.yaml and split.csv of a run; arguments as of `train`."""
    split = split.reindex(manifest.table["image"])
    used = manifest.take(split.isin(["train", "val"]).to_numpy())
    lungs = kept_network(settings, out)
    cache = cache or build_cache(
        used,
        folder=out / "cache",
        height=settings.image_size,
        width=settings.image_size,
        lungs=lungs,
        crop=settings.crop,
        workers=settings.decode_workers,
        progress=lambda done, total: progress("decode", done, total, ""),
    )
    parts = {name: part_of(manifest, split, name, cache) for name in ("train", "val")}
    teachers = open_teachers(settings, manifest.classes)
    if teachers:
        watch = lambda done, total: progress("teachers", done, total, "")  # noqa: E731
        parts["train"] = teach(parts["train"], manifest, teachers, progress=watch)
    taught_by = describe_teachers(teachers)
    model, initial = begin(settings, manifest.classes, sources=sources_in(parts["train"]))
    shortage = describe_shortage(needed(model, batch_size=settings.batch_size), available())
    if shortage:
        progress("memory", 1, 1, shortage)
    write_text(out / "config.yaml", to_yaml(settings))
    write_split(out / "split.csv", split, manifest)
    if initial:
        progress("init", 1, 1, f"{initial['name']} {initial['version']}, head {initial['head']}")
    identity = _identity(settings, split, manifest.classes, lungs, initial, taught_by)
    return Run(settings, out, model, parts["train"], parts["val"], identity, progress, lungs, initial, taught_by)


def _identity(
    settings: Training,
    split: pd.Series,
    classes: tuple[str, ...],
    lungs: LungNetwork | None,
    initial: Mapping[str, Any] | None,
    teachers: Sequence[Mapping[str, Any]] = (),
) -> str:
    """Hash everything that a checkpoint depends on, except the number of epochs: a run may be prolonged."""
    facts = settings.model_dump(mode="json", exclude=set(FREE))
    rows = sorted((str(image), str(part)) for image, part in split.items())
    begun = [network["sha256"] for network in (*([initial] if initial else ()), *teachers)]
    return sha256_bytes(json.dumps([facts, classes, rows, lungs and lungs.facts["sha256"], *begun]).encode())


def _finish(
    run: Run, manifest: Manifest, split: pd.Series, *, last: Schedule, best: checkpoint.Arrays, seconds: float
) -> Path:
    run.progress("export", 0, 1, "")
    with precision.policy("float32"):
        model = _final_network(run, best)
    classes = answers(manifest.classes, run.settings)
    origins = {name: value for name, value in (("init", run.initial), ("teachers", list(run.teachers))) if value}
    with replacing(run.out / "model.keras") as temporary:
        model.save(temporary)
    stored = run.settings.model_dump(mode="json", exclude=PATHS)
    if file := weights_file(run.settings):
        stored["weights"] = file.name
    facts = {
        "name": run.settings.model.rpartition(":")[2],
        "version": run.identity[:12],
        "classes": list(classes),
        **({"unanswered": list(run.settings.unanswered), "well": run.settings.well} if is_two_step(model) else {}),
        "training_data": describe_data(manifest, split),
        "training": {"settings": stored, **dataclasses.asdict(last), **origins},
    }
    trained = list_trained(manifest, split, run.settings)
    parity = export(
        model, run.out / "bundle", facts=facts, images=some_of_each(run.val), lungs=run.lungs, trained=trained
    )
    run.progress("export", 1, 1, f"parity with Keras: {max(parity.values()):.1e}")
    reason = schedule.finished(last, run.settings) or ""
    answered = manifest.take(manifest.table["label"].isin(classes).to_numpy())
    calibrated = calibrate_bundle(run.out / "bundle", answered, split, progress=run.progress)
    write_run_manifest(run.out, facts=facts, parity=parity, seconds=seconds, ended=reason, calibrated=calibrated)
    _remove_scratch(run.out)
    return run.out / "bundle"


def _final_network(run: Run, weights: checkpoint.Arrays) -> keras.Model:
    """Build the network that is exported, in float32, with the weights that training ended with."""
    if run.settings.objective == "within_source":
        run.model.set_weights(list(weights))
        return assemble(run.settings, run.train.classes, run.model, run.train, run.val)
    model = zoo.build(run.settings.model_copy(update={"weights": None}), len(run.train.classes))
    model.set_weights(list(weights))
    return model


def _remove_scratch(out: Path) -> None:
    for scratch in ("cache", "checkpoint"):
        shutil.rmtree(out / scratch, ignore_errors=True)
