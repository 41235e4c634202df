"""Run a cross-validation: score every image of a manifest by a network that never saw it.

    folder: config.yaml plan.json folds.csv fold-1/ fold-2/ ... predictions.csv crossval.json crossval.md figures/

A fold is an ordinary run folder of `train` until its held-out images are scored; `fold.json` is written last. So a
killed cross-validation continues with the fold, and inside it with the epoch, that it was in.
"""

import dataclasses
import json
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras
import pandas as pd

from covid_xray import partial
from covid_xray.bundle.trained import PARTS, read_trained
from covid_xray.config import Training, to_yaml
from covid_xray.data.manifest.manifest import Manifest, fingerprint
from covid_xray.errors import InputRefused, UsageError
from covid_xray.evaluation.predictions import FAILED, Predictions, predict_manifest, read_predictions, write_predictions
from covid_xray.evaluation.trained_images import contents_of, leave_out_trained, look_up
from covid_xray.files import folder_lock, replacing, sha256_file, write_json, write_text
from covid_xray.inference.predictor import Predictor
from covid_xray.training.cache import PixelCache, build_cache
from covid_xray.training.crossval.fold_pooling import Seen, pool, write_study
from covid_xray.training.crossval.folds import Fold, Protocol, plan_folds, write_folds
from covid_xray.training.epochs import Progress
from covid_xray.training.lung_crop import network_of
from covid_xray.training.train import train
from covid_xray.training.warm_start import open_initial, resolved

# As `run_folds_here`.
FoldRunner = Callable[..., None]


def crossval(
    manifest: Manifest,
    *,
    settings: Training,
    protocol: Protocol,
    out: Path,
    resume: bool = False,
    keep_models: bool = False,
    rounds: int = 1000,
    with_trained: bool = False,
    progress: Progress | None = None,
    run_folds: FoldRunner | None = None,
) -> dict[str, Any]:
    """Train every fold of `protocol`, score its held-out images, pool the predictions, and write the study to `out`.

    Args:
        manifest: images and labels, checked.
        settings: network and recipe, the same for each fold; its `val_fraction` and `seed` are the protocol's.
        protocol: how the images are divided into folds.
        out: a new folder, or with `resume` one that holds an unfinished cross-validation of the same kind.
        resume: keep the finished folds and continue inside the unfinished one.
        keep_models: keep model.keras and bundle/ of every fold; they are removed once the fold is scored.
        rounds, with_trained: of the bootstrap over patients; keep images that made the network of `init`.
        progress: called as (stage, done, total, note); the notes of epochs say how long it may still take.
        run_folds: trains and scores the folds that are left; default: one after the other in this process.

    Returns:
        The content of crossval.json.

    Raises:
        BadSplit, BadManifest: the data cannot be divided or trained on; nothing was trained.
        UsageError: `out` holds another cross-validation, or one without `resume`.
        InputRefused: the predictions of a finished fold were altered (`altered`).
        Busy: another process works in `out`.
    """
    settings = resolved(settings)
    protocol = dataclasses.replace(protocol, seed=settings.seed, val_fraction=settings.val_fraction)
    folds = plan_folds(manifest, protocol)
    with folder_lock(out):
        _claim(out, folds, manifest, settings=settings, protocol=protocol, resume=resume)
        run = run_folds or run_folds_here
        run(out, folds, manifest, settings, keep_models=keep_models, progress=progress or (lambda *_: None))
        folders = [fold_folder(out, number) for number in range(len(folds))]
        records = [_record(folder) for folder in folders]
        predictions = pool([read_predictions(folder / "predictions.csv") for folder in folders], folds, manifest)
        how: dict[str, Any] = {"protocol": protocol, "settings": settings, "out": out, "rounds": rounds}
        how["seen"] = _seen_before(predictions, settings, with_trained=with_trained)
        facts = write_study(predictions, records, manifest, folds=folds, **how)
        shutil.rmtree(out / "cache", ignore_errors=True)
    return facts


def _seen_before(predictions: Predictions, settings: Training, *, with_trained: bool) -> Seen | None:
    """What the network that every fold begins from knows of the images; `None` where the folds begin from nothing."""
    if settings.init is None:
        return None
    table = predictions.table
    found = look_up(read_trained(open_initial(settings.init).folder), contents_of(table))
    whole = Manifest(table, Path(), table.head(0))
    kept, facts = leave_out_trained(whole, found, keep=PARTS if with_trained else ())
    return Seen(table["image"].isin(kept.table["image"]).to_numpy(), facts)


def check_folder(out: Path, *, resume: bool) -> None:
    """Check that `out` is free, or with `resume` begun; reads no image. Raises `UsageError`."""
    planned = (out / "plan.json").exists()
    if planned and not resume:
        raise UsageError(f"{out} already holds a cross-validation. Name a new folder, or continue it with --resume.")
    if resume and not planned and not (out / "folds.csv").exists():
        raise UsageError(f"No unfinished cross-validation in {out}. Start one without --resume.")


def _claim(
    out: Path, folds: list[Fold], manifest: Manifest, *, settings: Training, protocol: Protocol, resume: bool
) -> None:
    """Write the plan of a new cross-validation, or compare it with the stored one. Raises `UsageError`."""
    plan = out / "plan.json"
    check_folder(out, resume=resume)
    partial.clear(out)
    now = {
        "data": fingerprint(manifest),
        "protocol": dataclasses.asdict(protocol),
        "settings": settings.model_dump(mode="json", exclude={"decode_workers"}),
    }
    if not plan.exists():
        write_folds(out / "folds.csv", folds, manifest)
        write_text(out / "config.yaml", to_yaml(settings))
        write_json(plan, {**now, "folds_sha256": sha256_file(out / "folds.csv")})
        return
    stored = json.loads(plan.read_text(encoding="utf-8"))
    _refuse_changes(out, stored, now)
    with replacing(out / "folds.csv") as anew:  # a refusal leaves the folds of the study as they are
        write_folds(anew, folds, manifest)
        if sha256_file(anew) != stored["folds_sha256"]:
            raise UsageError(f"{out} was started with other folds. Name a new folder.")


def _refuse_changes(out: Path, stored: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    for part, values in now.items():
        began = stored.get(part)
        if values == began:
            continue
        if not isinstance(values, dict) or not isinstance(began, dict):
            raise UsageError(f"{out} was started with other {part}. Resume it with the same, or name a new folder.")
        name = next(key for key in values if values[key] != began.get(key))
        raise UsageError(
            f"{name}={values[name]} differs from {name}={began.get(name)}, which {out} was started with. Resume it "
            "with the same value, or name a new folder."
        )


def run_folds_here(
    out: Path, folds: list[Fold], manifest: Manifest, settings: Training, *, keep_models: bool, progress: Progress
) -> None:
    """Train and score the folds that are left, one after the other."""
    clock = _Clock(progress, epochs=settings.epochs, folds=len(folds))
    cache: PixelCache | None = None
    for number, fold in enumerate(folds):
        folder = fold_folder(out, number)
        clock.fold = number
        if not (folder / "fold.json").exists():
            if cache is None:
                cache = decode_all(manifest, out / "cache", settings, progress)
            run_fold(folder, fold, settings, cache=cache, progress=clock)
        if not keep_models:
            drop_models(folder)


def decode_all(manifest: Manifest, folder: Path, settings: Training, progress: Progress) -> PixelCache:
    """Decode all images once, for all folds."""
    return build_cache(
        manifest,
        folder=folder,
        height=settings.image_size,
        width=settings.image_size,
        lungs=network_of(settings),
        crop=settings.crop,
        workers=settings.decode_workers,
        progress=lambda done, total: progress("decode", done, total, ""),
    )


def run_fold(folder: Path, fold: Fold, settings: Training, *, cache: PixelCache, progress: Progress) -> None:
    """Train one fold, or continue it, and score its held-out images; `fold.json` is written last."""
    started = time.time()
    predictions, facts = _unscored(fold.held, code="not-trainable", reason=fold.problem), {}
    if not fold.problem:
        keras.utils.clear_session()  # the networks of earlier folds
        resume = (folder / "config.yaml").is_file()
        bundle = train(
            fold.side, fold.split, settings=settings, out=folder, resume=resume, cache=cache, progress=progress
        )
        predictions = _score(Predictor(bundle), fold, progress)
        facts = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        facts = {"model": Predictor(bundle).identity.as_dict(), **_of_training(facts)}
    write_predictions(folder / "predictions.csv", predictions)
    record = {
        "name": fold.name,
        "problem": fold.problem,
        "classes": list(fold.classes),
        "images": {"train": int((fold.split == "train").sum()), "val": int((fold.split == "val").sum())},
        "held_out": len(fold.held.table),
        "scored": len(predictions.table),
        "set_aside": fold.set_aside,
        "leaking": fold.leaking,
        **facts,
        "seconds": round(time.time() - started, 1),
        "predictions_sha256": sha256_file(folder / "predictions.csv"),
    }
    write_json(folder / "fold.json", record)


def _of_training(facts: Mapping[str, Any]) -> dict[str, Any]:
    training = facts["bundle"]["training"]
    names = ("precision", "packages", "machine", "ended")
    return {"epochs": training["epoch"], "best_epoch": training["best_epoch"], **{name: facts[name] for name in names}}


def _score(predictor: Predictor, fold: Fold, progress: Progress) -> Predictions:
    """Predict the held-out images; those of a class that the fold never saw are listed as failures instead."""
    known = fold.held.table["label"].isin(fold.classes)
    unseen = _unscored(
        fold.held.take(~known),
        code="class-unseen",
        reason=f"The fold was trained on {', '.join(fold.classes)} only, not on the class of this image.",
    )
    if not known.any():
        return unseen
    held = fold.held.take(known)
    scored = predict_manifest(predictor, held, progress=lambda done, total: progress("score", done, total, ""))
    return dataclasses.replace(scored, failures=pd.concat([scored.failures, unseen.failures], ignore_index=True))


def _unscored(manifest: Manifest, *, code: str, reason: str) -> Predictions:
    failures = manifest.table[["image", "label"]].assign(code=code, message=reason)[list(FAILED)]
    table = manifest.table.head(0).assign(predicted="", reasons="")
    return Predictions(table, (), failures.reset_index(drop=True))


def _record(folder: Path) -> dict[str, Any]:
    """Read fold.json. Raises `InputRefused` when the predictions beside it were altered."""
    record: dict[str, Any] = json.loads((folder / "fold.json").read_text(encoding="utf-8"))
    if sha256_file(folder / "predictions.csv") != record["predictions_sha256"]:
        raise InputRefused(
            f"{folder / 'predictions.csv'} was altered. Remove {folder} and continue with --resume.",
            code="altered",
        )
    return record


def drop_models(folder: Path) -> None:
    """Remove the networks of a scored fold."""
    (folder / "model.keras").unlink(missing_ok=True)
    shutil.rmtree(folder / "bundle", ignore_errors=True)


def fold_folder(out: Path, number: int) -> Path:
    """Return the run folder of a fold, counted from 0."""
    return out / f"fold-{number + 1}"


class _Clock:
    """Report progress with the fold's number, and after each epoch the time that all folds may still take."""

    def __init__(self, progress: Progress, *, epochs: int, folds: int, now: Callable[[], float] = time.monotonic):
        self.progress, self.epochs, self.folds, self.now = progress, epochs, folds, now
        self.fold = 0
        self.began, self.ended = now(), 0

    def __call__(self, stage: str, done: int, total: int, note: str) -> None:
        if stage.startswith("epoch ") and done >= total:
            self.ended += 1
            number = int(stage.removeprefix("epoch ").split("/")[0])
            left = (self.folds - self.fold - 1) * self.epochs + self.epochs - number
            seconds = left * (self.now() - self.began) / self.ended
            note = f"{note}; at most {_time(seconds)} left"
        self.progress(f"fold {self.fold + 1}/{self.folds}, {stage}", done, total, note)


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
