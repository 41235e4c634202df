"""Train networks with different inputs, data and methods, and predict hospitals that were left out.

    KERAS_BACKEND=jax python -m experiments.network_grid --data FOLDER --lungs RUN -o OUT [--workers 8] [--known]

On a CPU: KERAS_BACKEND=tensorflow, --workers 1 --precision float32. There are six folds: one source of covid and one of
normal radiographs are left out together with every person in them, and the network is trained on the others. Every task
is one training by our training code; it ends with predictions for every radiograph that it was not trained on, with the
lungs in view and hidden. Run the same command again to resume.
"""

import argparse
import hashlib
import itertools
import json
import multiprocessing
import os
import pickle
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

CLASSES = ("covid", "normal", "virus")
AUXILIARY = ("bacterial", "pneumonia")
COVID, NORMAL = ("ieee8023", "cxnet", "hannover"), ("kermany", "nih")
EVERYWHERE = ("two-labels", "misfit", "copied-normal")
SIDE = 224
REST = 128  # images of one call when answering

# The recipe that the entries of GRID change.
BASE: dict[str, Any] = {
    "model": "efficientnet_lite0", "weights": "imagenet", "epochs": 8, "samples_per_epoch": 2048, "batch_size": 64,
    "optimizer": "adamw", "weight_decay": 0.02, "learning_rate": 3e-4, "schedule": "cosine", "average_decay": 0.98,
    "sampling": "balanced", "class_weights": False, "label_smoothing": 0.05, "precision": "mixed_bfloat16",
    "augmentation": {"rotation": 10, "shear": 5, "zoom": 0.15, "shift": 0.06, "brightness": 0.15, "contrast": 0.25},
    "appearance": {"probability": 0.4},
}  # fmt: skip


@dataclass(frozen=True)
class Task:
    """A training: settings, view, rows to train on and rows to predict."""

    name: str
    fold: str
    settings: dict[str, Any]
    view: str
    train: np.ndarray
    answer: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...] = CLASSES
    auxiliary: tuple[str, ...] = ()
    hidden: bool = False
    val: np.ndarray | None = None
    keep: bool = False
    facts: dict[str, Any] = field(default_factory=dict)


def study(data: Path, duplicates: Path) -> pd.DataFrame:
    """Tabulate each radiograph: label, hospital, reason to leave it out, person."""
    from covid_xray.data.manifest.manifest import read_manifest
    from covid_xray.data.split.groups import groups, with_duplicates
    from scripts.curate_cxr import hospitals, reasons

    manifest = with_duplicates(read_manifest(data), pd.read_csv(duplicates, dtype=str))
    table = manifest.table.reset_index(drop=True)
    person = groups(manifest).loc[table["image"]].to_numpy()
    return table.assign(reason=reasons(manifest).to_numpy(), hospital=hospitals(table).to_numpy(), person=person)


def read_views(data: Path, lungs: Path, images: list[str], folder: Path, workers: int) -> None:
    """Write `folder`/VIEW.npy for each view: whole, crop, only (the lungs), and both with the lungs hidden."""
    names = ("whole", "crop", "only", "whole_hidden", "crop_hidden")
    shape = (len(images), SIDE, SIDE)
    views = {name: np.lib.format.open_memmap(folder / f"{name}.npy", "w+", np.uint8, shape) for name in names}
    with multiprocessing.get_context("spawn").Pool(workers, _start_worker, (data, lungs)) as pool:
        for row, views_of_image in enumerate(pool.imap(_views_of, images, chunksize=32)):
            for name, pixels in views_of_image.items():
                views[name][row] = pixels


def _start_worker(data: Path, lungs: Path) -> None:
    from covid_xray.bundle.lung_network_folder import read_network
    from covid_xray.inference.view import open_lungs

    _views_of.finder, _views_of.data = open_lungs(read_network(lungs)), data  # type: ignore[attr-defined]


def _views_of(image: str) -> dict[str, np.ndarray]:
    import dataclasses

    from covid_xray.evaluation.audit.interventions import MARGIN, dilate
    from covid_xray.images.decode import decode
    from covid_xray.images.pixels import to_input
    from covid_xray.inference.lungs import WHOLE, cropped

    film = decode(_views_of.data / image)  # type: ignore[attr-defined]
    found = _views_of.finder.find(film)  # type: ignore[attr-defined]
    mask = found.at_size(*film.pixels.shape) if found.plausible else np.zeros(film.pixels.shape, bool)
    around = dilate(mask[None], share=MARGIN)[0]
    box = found.box if found.plausible else WHOLE

    def view(pixels: np.ndarray, region: tuple[float, ...]) -> np.ndarray:
        picture = dataclasses.replace(film, pixels=pixels.astype(film.pixels.dtype))
        return to_input(cropped(picture, region), height=SIDE, width=SIDE)  # type: ignore[arg-type]

    without, only = np.where(around, 0, film.pixels), np.where(around, film.pixels, 0)
    return {"whole": view(film.pixels, WHOLE), "crop": view(film.pixels, box), "only": view(only, box),
            "whole_hidden": view(without, WHOLE), "crop_hidden": view(without, box)}  # fmt: skip


class Stacked:
    """Several arrays of pictures, indexed as one."""

    def __init__(self, arrays: list[np.ndarray]) -> None:
        self.arrays, self.length = arrays, len(arrays[0])

    def __getitem__(self, row: int) -> np.ndarray:
        return self.arrays[row // self.length][row % self.length]


def train_and_predict(task: Task, folder: Path) -> dict[str, Any]:
    """Train, and predict the `answer` rows with the lungs in view and hidden."""
    from covid_xray.config import Training
    from covid_xray.training import schedule
    from covid_xray.training.epochs import train_epoch, validate
    from covid_xray.training.network import averaged, build_model, weights_of

    started = time.time()
    strength = task.settings.get("adversary", 0.0)
    settings = Training.model_validate({k: v for k, v in task.settings.items() if k != "adversary"})
    part = part_of(task, task.train, folder, auxiliary=task.auxiliary, hidden=task.hidden)
    val = None if task.val is None else part_of(task, task.val, folder)
    model = build_model(settings, len(task.classes) + len(task.auxiliary))
    if settings.probe:
        start_from_head(model, part, task, settings, folder)
    state, found, losses, best = schedule.start(settings), {}, [], None
    trained = against_source(model, part, settings, strength) if strength else model
    one_epoch = adversarial_epoch if strength else train_epoch
    trained.optimizer.build(trained.trainable_variables)
    while settings.epochs and not schedule.finished(state, settings):
        trained.optimizer.learning_rate.assign(state.learning_rate)
        logs = one_epoch(trained, part, settings=settings, epoch=state.epoch + 1)
        loss = 0.0
        if val is not None:
            with averaged(trained):
                loss = validate(model, val, batch_size=settings.batch_size)[0]
        state = schedule.after_epoch(state, val_loss=loss, settings=settings)
        losses.append((logs["loss"], loss))
        if val is not None and state.is_best:
            with averaged(trained):
                best = weights_of(model)
    with averaged(trained):
        if best is not None and settings.schedule == "plateau":
            model.set_weights(best)
        for view in (task.view, f"{'whole' if task.view == 'whole' else 'crop'}_hidden"):
            found[view] = answers(model, np.load(folder / f"{view}.npy", mmap_mode="r"), task.answer)
        weights = weights_of(model) if task.keep else None
    return {"name": task.name, "fold": task.fold, "classes": task.classes + task.auxiliary,
            "rows": task.answer.astype(np.int32), "found": found, "losses": losses,
            "seconds": time.time() - started, "trained": len(task.train),
            "settings": task.settings, "view": task.view, "hidden": task.hidden, "weights": weights,
            "best_epoch": state.best_epoch, "facts": task.facts}  # fmt: skip


def start_from_head(model: Any, part: Any, task: Task, settings: Any, folder: Path) -> None:
    """Fit the head with the recipe of the network that ships; cache it in `folder` for tasks on the same rows."""
    from covid_xray.bundle.lung_network_folder import read_network
    from covid_xray.training.head.probe import probe_head

    probe = {key: value for key, value in settings.model_dump().items() if key.startswith("probe")}
    key = hashlib.sha256(task.train.tobytes() + json.dumps([probe, task.view], sort_keys=True).encode()).hexdigest()
    file, layer = folder / f"head-{key[:16]}.npz", model.get_layer("probabilities")
    if file.exists():
        kept = np.load(file)
        layer.set_weights([kept["kernel"], kept["bias"]])
        return
    # Without altered copies, which cost left-out hospitals (docs/results/network-grid.md).
    unaltered = settings.model_copy(update={"augment": False})
    probe_head(model, part, settings=unaltered, lungs=read_network(task.facts["lungs"]))
    kernel, bias = layer.get_weights()
    np.savez(file, kernel=kernel, bias=bias)


def against_source(model: Any, part: Any, settings: Any, strength: float) -> Any:
    """Add a second head that predicts the source within a class, with its gradient reversed below it.

    Domain-adversarial training (Ganin and others 2016, arXiv:1505.07818) within each class: where a class has sources
    of its own, features without the source would lose the class (Li and others 2018, CIDDG).
    """
    import keras
    from keras import layers, ops

    from covid_xray.training.network import _optimizer

    classes, groups = len(part.classes), int(part.groups.max()) + 1
    of_class = np.zeros((classes, groups), np.float32)
    of_class[part.targets[part.labels].argmax(axis=1), part.groups] = 1

    features = model.get_layer("pool").output
    # The features forward, -strength times their gradient backward.
    turned = layers.Lambda(lambda x: ops.stop_gradient(x * (1 + strength)) - x * strength, name="turned")(features)
    hidden = layers.Dense(256, activation="relu", name="adversary_hidden")(turned)
    sources = layers.Dense(groups, dtype="float32", name="adversary_source")(hidden)
    both = layers.Concatenate(dtype="float32", name="both")([model.output, sources])
    smooth = keras.losses.CategoricalCrossentropy(label_smoothing=settings.label_smoothing, reduction="none")

    def loss(asked: Any, said: Any) -> Any:
        own = ops.matmul(asked[:, :classes], ops.convert_to_tensor(of_class))  # 1 where the source is of the class
        logits = said[:, classes:] - 1e9 * (1 - ops.minimum(own, 1))
        within = -ops.sum(asked[:, classes:] * ops.log_softmax(logits), axis=1)
        return smooth(asked[:, :classes], said[:, :classes]) + within

    wider = keras.Model(model.input, both)
    wider.compile(optimizer=_optimizer(settings), loss=loss)
    return wider


def adversarial_epoch(model: Any, part: Any, *, settings: Any, epoch: int) -> dict[str, float]:
    """Train one epoch as `training.epoch.train_epoch`, with the group of each image in the target."""
    from covid_xray.training.batches import prefetch, training_batches

    groups, losses = np.eye(int(part.groups.max()) + 1, dtype=np.float32), []
    for batch in prefetch(training_batches(part, settings=settings, epoch=epoch)):
        model.reset_metrics()
        y = np.concatenate([batch.y, groups[batch.groups]], axis=1)
        losses.append(float(model.train_on_batch(batch.x, y, sample_weight=batch.weight, return_dict=True)["loss"]))
    return {"loss": float(np.mean(losses))}


def part_of(
    task: Task, rows: np.ndarray, folder: Path, *, auxiliary: tuple[str, ...] = (), hidden: bool = False
) -> Any:
    """Build a training part from rows; pictures with hidden lungs get the same target for every class."""
    from covid_xray.training.batches import Part
    from covid_xray.training.cache import PixelCache
    from covid_xray.training.sampling import group_numbers

    known = task.classes + auxiliary
    seen = np.load(folder / f"{task.view}.npy", mmap_mode="r")
    arrays, keys = [seen], [(int(row), known.index(task.labels[row])) for row in rows]
    if hidden:
        blind = "whole" if task.view == "whole" else "crop"
        arrays.append(np.load(folder / f"{blind}_hidden.npy", mmap_mode="r"))
        keys += [(int(row) + len(seen), len(known)) for row in rows]
    hospital = task.facts["hospital"]
    images = tuple(str(place) for place, _ in keys)
    codes = np.array([code for _, code in keys])
    sources = [hospital[place % len(seen)] for place, _ in keys]
    targets = np.vstack([np.eye(len(known)), np.full((1, len(known)), 1 / len(known))]).astype(np.float32)
    cache = PixelCache(Stacked(arrays), {str(place): place for place, _ in keys})  # type: ignore[arg-type]
    return Part(images, codes, known, cache, group_numbers(codes.tolist(), sources), targets)


def answers(model: Any, pixels: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Predict len(rows) x C log probabilities; the last batch is padded so that one shape is compiled."""
    found = []
    for start in range(0, len(rows), REST):
        chosen = rows[start : start + REST]
        x = np.zeros((REST, SIDE, SIDE, 1), np.float32)
        x[: len(chosen), ..., 0] = pixels[chosen]
        found.append(np.asarray(model.predict_on_batch(x), np.float32)[: len(chosen)])
    return np.log(np.concatenate(found).clip(1e-12)).astype(np.float16)


def folds(table: pd.DataFrame) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Map each fold to rows to train on and rows to predict (both left-out sources, without unusable images)."""
    usable = ~table["reason"].isin(EVERYWHERE)
    found = {}
    for covid, normal in itertools.product(COVID, NORMAL):
        out = table["hospital"].isin([covid, normal])
        gone = set(table["person"][out])
        learn = ~out & ~table["person"].isin(gone) & (table["reason"] == "")
        found[f"{covid}+{normal}"] = np.flatnonzero(learn), np.flatnonzero(out & usable)
    return found


# The head that ships, fitted before the other layers are trained.
HEAD: dict[str, Any] = {"view": "whole", "probe": 0.0003, "probe_prior": "natural", "probe_scale": "one",
                        "probe_blind": ("source", "outside", "corners")}  # fmt: skip

GRID: dict[str, dict[str, Any]] = {
    # name: view, auxiliary, hidden, and settings that differ from BASE; heads alone are in linear_heads.py
    "tune crop": {},
    "tune crop aux": {"auxiliary": AUXILIARY},
    "tune crop aux hidden": {"auxiliary": AUXILIARY, "hidden": True},
    "tune only aux": {"view": "only", "auxiliary": AUXILIARY},
    "tune whole aux": {"view": "whole", "auxiliary": AUXILIARY},
    "tune crop aux plain look": {"auxiliary": AUXILIARY, "appearance": {"probability": 0.0}},
    "tune crop aux dro": {"auxiliary": AUXILIARY, "worst_group": 0.02},
    "tune crop aux late": {"auxiliary": AUXILIARY, "train_from": "block12"},
    "tune crop aux slow": {"auxiliary": AUXILIARY, "learning_rate": 1e-4},
    "tune crop aux long": {"auxiliary": AUXILIARY, "epochs": 20},
    "probe then tune crop aux": {"auxiliary": AUXILIARY, "probe": 0.001, "learning_rate": 1e-4},
    "tune crop aux strong look": {"auxiliary": AUXILIARY, "appearance": {"probability": 0.65}},
    "vgg crop aux": {"auxiliary": AUXILIARY, "model": "vgg", "weights": None, "initializer": "he_normal", "epochs": 20,
                     "learning_rate": 1e-3, "weight_decay": 1e-4},
    "vgg whole": {"view": "whole", "model": "vgg", "weights": None, "epochs": 8, "optimizer": "adam",
        "learning_rate": 5e-4, "label_smoothing": 0.0},
    "tune whole": {"view": "whole"},
    "tune whole aux dro": {"view": "whole", "auxiliary": AUXILIARY, "worst_group": 0.02},
    "tune whole aux adversary": {"view": "whole", "auxiliary": AUXILIARY, "adversary": 0.3},
    "tune whole aux adversary strong": {"view": "whole", "auxiliary": AUXILIARY, "adversary": 1.0},
    "tune whole aux mixup": {"view": "whole", "auxiliary": AUXILIARY, "mixup": 0.4, "label_smoothing": 0.0},
    "head then tune whole gently": {**HEAD, "learning_rate": 1e-5, "epochs": 4},
    "head then tune whole": {**HEAD, "learning_rate": 1e-4, "epochs": 4},
    "head then tune whole late": {**HEAD, "learning_rate": 3e-5, "epochs": 4, "train_from": "block14"},
    "tune only aux hidden": {"view": "only", "auxiliary": AUXILIARY, "hidden": True},
}  # fmt: skip


def grid_tasks(table: pd.DataFrame, names: list[str], base: dict[str, Any], lungs: Path) -> list[Task]:
    """Build the tasks of the chosen configurations, fold by fold."""
    labels, hospital = table["label"].to_numpy(), table["hospital"].to_numpy()
    made = []
    for (fold, (learn, answer)), name in itertools.product(folds(table).items(), names):
        changes = dict(GRID[name])
        view, auxiliary = changes.pop("view", "crop"), tuple(changes.pop("auxiliary", ()))
        hidden = changes.pop("hidden", False)
        rows = learn[np.isin(labels[learn], [*CLASSES, *auxiliary])]
        known = tuple(c for c in CLASSES if (labels[rows] == c).any())  # a fold can be without any virus
        made.append(Task(name, fold, {**base, **changes}, view, rows, answer, labels, classes=known,
                             auxiliary=auxiliary, hidden=hidden,
                             facts={"hospital": hospital, "lungs": lungs}))  # fmt: skip
    return made


def parts(table: pd.DataFrame) -> np.ndarray:
    """Return the part of each radiograph in the table of scripts/curate_cxr.py; "" when it is left out."""
    from covid_xray.data.manifest.manifest import Manifest
    from scripts.curate_cxr import curate

    read = table.drop(columns=["reason", "hospital", "person"])
    curated, _ = curate(Manifest(table=read, root=Path(), quarantine=pd.DataFrame()))
    return table["image"].map(curated.set_index("image")["split"]).fillna("").to_numpy()


def known_tasks(
    table: pd.DataFrame, names: list[str], base: dict[str, Any], lungs: Path, seeds: tuple[int, ...] = (0, 1, 2)
) -> list[Task]:
    """Build tasks on the training and validation parts, for figures on known sources."""
    part, labels = parts(table), table["label"].to_numpy()
    held = set(table["person"][np.isin(part, ["test", "calibration"])])
    free = (table["reason"] == "").to_numpy() & ~table["person"].isin(held).to_numpy()
    made = []
    for name in names:
        changes = dict(GRID[name])
        view, auxiliary = changes.pop("view", "crop"), tuple(changes.pop("auxiliary", ()))
        hidden = changes.pop("hidden", False)
        learn = np.isin(part, ["train", "val"]) | (np.isin(labels, auxiliary) & free)
        facts = {"hospital": table["hospital"].to_numpy(), "lungs": lungs}
        made += [Task(name, f"pooled seed {seed}", {**base, **changes, "seed": seed}, view, np.flatnonzero(learn),
                      np.flatnonzero(~learn), labels, auxiliary=auxiliary, hidden=hidden, facts=facts)
                 for seed in seeds]  # fmt: skip
    return made


def execute_tasks(tasks: Any, done: Any, folder: Path, memory: float) -> None:
    """Execute tasks from a queue until it is empty."""
    os.environ.update(XLA_PYTHON_CLIENT_MEM_FRACTION=str(memory), TF_CPP_MIN_LOG_LEVEL="3")
    import keras

    keras.utils.disable_interactive_logging()
    for task in iter(tasks.get, None):
        try:
            done.put(train_and_predict(task, folder))
        except Exception:
            done.put({"name": task.name, "fold": task.fold, "error": traceback.format_exc()})


def run(tasks: list[Task], folder: Path, out: Path, *, workers: int, seconds: float) -> list[dict[str, Any]]:
    """Run tasks in order on `workers` processes; after `seconds` the unfinished ones are dropped."""
    context = multiprocessing.get_context("spawn")
    queue, done = context.Queue(), context.Queue()
    for task in tasks:
        queue.put(task)
    for _ in range(workers):
        queue.put(None)
    processes = [
        context.Process(target=execute_tasks, args=(queue, done, folder, 0.9 / workers)) for _ in range(workers)
    ]
    for process in processes:
        process.start()
    results: list[dict[str, Any]] = read_results(out)
    count = len(results) + len(tasks)
    started = written = time.time()
    while len(results) < count and time.time() - started < seconds:
        try:
            result = done.get(timeout=2)
        except Exception:
            if not any(process.is_alive() for process in processes):
                break
            continue
        results.append(result)
        outcome = result.get("error", "")[-600:] or f"{result['seconds']:.0f} s {result['losses'][-1:]}"
        print(f"{time.time() - started:5.0f} s {len(results)}/{count} {result['name']} | {result['fold']} {outcome}",
              flush=True)  # fmt: skip
        if time.time() - written > 20:
            written = time.time()
            save(results, out)
    for process in processes:
        process.kill()
    save(results, out)
    return results


def read_results(out: Path) -> list[dict[str, Any]]:
    """Read the results of an earlier run in `out`, without failures."""
    file = out / "results.pickle"
    return [r for r in pickle.loads(file.read_bytes()) if "error" not in r] if file.exists() else []


def save(results: list[dict[str, Any]], out: Path) -> None:
    """Write the results to a temporary file and rename it."""
    kept = [{key: value for key, value in result.items() if key != "facts"} for result in results]
    temporary = out / "results.tmp"
    temporary.write_bytes(pickle.dumps(kept))
    temporary.replace(out / "results.pickle")


def main() -> None:
    """Write OUT/results.pickle."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--lungs", type=Path, required=True)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--duplicates", type=Path, default=Path("docs/results/cxr-duplicates.csv"))
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seconds", type=float, default=1e9)
    parser.add_argument("--only", nargs="*", default=list(GRID))
    parser.add_argument("--known", action="store_true", help="train on all sources instead of leaving two out")
    parser.add_argument("--precision", default=BASE["precision"], help="float32 is faster on a CPU")
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    table = study(chosen.data, chosen.duplicates)
    if not (chosen.out / "crop_hidden.npy").exists():
        read_views(chosen.data, chosen.lungs, table["image"].tolist(), chosen.out, chosen.workers)
    made = known_tasks if chosen.known else grid_tasks
    done = {(result["name"], result["fold"]) for result in read_results(chosen.out)}
    tasks = [task for task in made(table, chosen.only, {**BASE, "precision": chosen.precision}, chosen.lungs)
             if (task.name, task.fold) not in done]  # fmt: skip
    run(tasks, chosen.out, chosen.out, workers=chosen.workers, seconds=chosen.seconds)


if __name__ == "__main__":
    main()
