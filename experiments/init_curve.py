"""Compare `train --init default` on few images of one source with starting from ImageNet and from random weights.

    python -m experiments.init_curve --data FOLDER --scratch FOLDER [--seeds 20] [--tasks ...] [--views FOLDER]

--views names the pictures that experiments/heads/linear_heads.py wrote with the same lung network. All starts use the
same pictures (as the bundle sees them) and the same recipe. Per seed, 50, 100 and 300 images are drawn, the smaller
sets inside the larger. Every network predicts the same test images, which were never used to train, choose or calibrate
any part of the bundle. There are three recipes:

    head   train_from=probabilities, augment=false: the head alone is trained (the bundle's head where it has one)
    probe  train_from=probabilities, augment=false, epochs=0, probe=0.001: the head by logistic regression
    all    every layer by our training loop, for --all-seeds seeds. Hours on two cores; --trained FILE keeps the
           answers, and --train-only makes that file alone, on another machine (KERAS_BACKEND=jax)

`head` and `probe` do not change the layers below the head, so their embeddings are computed once.
"""

import argparse
import itertools
import multiprocessing
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pandas as pd

from benchmarks._support.results import RESULTS, load_note, write_results
from experiments.init_curve_page import COMPARED, STARTS, chart, page_of

SIZES = (50, 100, 300)
EPOCHS, RATE, BATCH, DROPOUT, PROBE = 20, 1e-3, 32, 0.3, 0.001
ALL = {
    "model": "efficientnet_lite0", "epochs": EPOCHS, "batch_size": 25, "schedule": "cosine", "optimizer": "adamw",
    "weight_decay": 0.02, "average_decay": 0.9, "calibration_fraction": 0, "precision": "float32",
}  # fmt: skip
# Random weights need larger steps.
BEGIN = {
    "shipped": {"init": "default", "learning_rate": 1e-4},
    "imagenet": {"weights": "imagenet", "learning_rate": 1e-4},
    "nothing": {"learning_rate": 1e-3},
}
ROUNDS = 1000
TEST = 300  # at most, of a task
REST = 50  # images of one call when answering


@dataclass(frozen=True, eq=False)
class Task:
    """A source: its classes, and the images to train on (`pool`) and to test on."""

    name: str
    hospital: str
    why: str
    classes: tuple[str, ...]
    pool: pd.DataFrame
    test: pd.DataFrame


def study(data: Path) -> pd.DataFrame:
    """Tabulate each radiograph: hospital, person, reason to leave it out, and part in the bundle's training."""
    from covid_xray.data.manifest.manifest import read_manifest
    from covid_xray.data.split.groups import groups, with_duplicates
    from scripts.curate_cxr import curate, hospitals, reasons

    copies = pd.read_csv(RESULTS / "cxr-duplicates.csv", dtype=str)
    manifest = with_duplicates(read_manifest(data), copies)
    used, _ = curate(manifest)
    part = used.set_index("image")["split"]
    table = manifest.table.reset_index(drop=True)
    person = groups(manifest).loc[table["image"]].to_numpy()
    return table.assign(
        hospital=hospitals(table).to_numpy(), person=person, reason=reasons(manifest).to_numpy(),
        part=part.reindex(table["image"]).fillna("").to_numpy(),
    )  # fmt: skip


def tasks(table: pd.DataFrame, names: list[str]) -> list[Task]:
    """Build the chosen tasks, without any person of the shipped network's training part."""
    unseen = ~table["person"].isin(set(table["person"][table["part"] == "train"])) & (table["reason"] == "")
    free = table[unseen]
    made = {
        "kermany": ("kermany", ("normal", "virus"), "The network's own classes, on unseen images of a "
                    "known hospital"),
        "kermany-bacterial": ("kermany", ("bacterial", "normal", "virus"), "A class that the network does not know"),
        "nih": ("nih", ("normal", "pneumonia"), "Adults and a class that the network does not know; labels text-mined"),
    }  # fmt: skip
    return [_task(name, free, *made[name]) for name in names]


def _task(name: str, free: pd.DataFrame, hospital: str, classes: tuple[str, ...], why: str) -> Task:
    rows = free[(free["hospital"] == hospital) & free["label"].isin(classes)]
    rows = rows.assign(code=[classes.index(label) for label in rows["label"]])
    random = np.random.default_rng(0)
    people = random.permutation(rows["person"].unique())
    # For known classes the bundle's own test part; for the others half of the people.
    unknown = rows["part"] == ""
    held = (rows["part"] == "test") | (unknown & rows["person"].isin(people[: len(people) // 2]))
    gone = set(rows["person"][held])
    rest = ~held & ~rows["person"].isin(gone)
    few = lambda frame, most: frame.iloc[np.sort(random.permutation(len(frame))[:most])]  # noqa: E731
    return Task(
        name, hospital, f"{hospital}: {', '.join(classes)}. {why}", classes, few(rows[rest], 400), few(rows[held], TEST)
    )


def network_inputs(
    table: pd.DataFrame, images: list[str], chosen: argparse.Namespace, bundle: Any
) -> dict[str, np.ndarray]:
    """Map each image to the network's input, height x width uint8; cached in the scratch folder."""
    from covid_xray.inference.predictor import Predictor

    if chosen.views:
        views = np.load(chosen.views / ("crop.npy" if bundle.crop else "whole.npy"), mmap_mode="r")
        rows = dict(zip(table["image"], range(len(table)), strict=True))
        return {image: np.asarray(views[rows[image]]) for image in images}
    file = chosen.scratch / f"pixels-{bundle.sha256[:12]}.npz"
    known = dict(np.load(file)) if file.exists() else {}
    predictor = Predictor(bundle)
    new = [image for image in images if image not in known]
    for number, image in enumerate(new, start=1):
        known[image] = predictor.read(chosen.data / image)
        if number % 200 == 0 or number == len(new):
            print(f"decoded {number}/{len(new)}", flush=True)
            np.savez(file, **known)
    return known


def trunks(bundle: Any) -> dict[str, bytes]:
    """Build the three starts as ONNX models that output embeddings."""
    import keras

    from covid_xray.config import Training
    from covid_xray.models import zoo
    from covid_xray.training.onnx.export import to_onnx
    from covid_xray.training.warm_start import shape_of

    shape = shape_of(bundle).model_copy(update={"init": None})
    found = {"shipped": bundle.model}
    for start in ("imagenet", "nothing"):
        keras.utils.set_random_seed(0)
        weights = "imagenet" if start == "imagenet" else None
        model = zoo.build(Training.model_validate({**shape.model_dump(), "weights": weights}), 2)
        outputs = keras.Model(model.input, {"embedding": model.get_layer("pool").output})
        found[start] = to_onnx(outputs, inputs=("image",), outputs=("embedding",))
    return found


def embedded(model: bytes, pixels: np.ndarray) -> np.ndarray:
    """Compute N x D float32 embeddings."""
    import onnxruntime

    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    batches = [pixels[i : i + 32, ..., None].astype(np.float32) for i in range(0, len(pixels), 32)]
    return np.concatenate([session.run(["embedding"], {"image": batch})[0] for batch in batches])


def first_head(bundle: Any, classes: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the bundle's head for `classes`, as `train --init` does; `None` where a class is unknown."""
    from covid_xray.config import Training
    from covid_xray.training.warm_start import begin, resolved

    model, facts = begin(resolved(Training(init="default", precision="float32")), classes)
    kernel, bias = model.get_layer("probabilities").get_weights()
    return (kernel, bias) if facts and facts["head"] == "taken over" else None


def learned_elsewhere(table: pd.DataFrame, task: Task, classes: tuple[str, ...]) -> pd.DataFrame:
    """Select the shipped network's training part without the task's hospital and all its people."""
    used = table[(table["part"] == "train") & table["label"].isin(classes)]
    gone = set(table["person"][table["hospital"] == task.hospital])
    return used[(used["hospital"] != task.hospital) & ~used["person"].isin(gone)]


def head_without_hospital(
    others: pd.DataFrame, task: Task, pixels: dict[str, np.ndarray], bundle: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Fit the shipped recipe's head without the task's hospital."""
    from covid_xray.config import Training
    from covid_xray.training.batches import Part
    from covid_xray.training.cache import PixelCache
    from covid_xray.training.head.probe import probe_head
    from covid_xray.training.network import build_model
    from covid_xray.training.sampling import group_numbers

    known, images = tuple(sorted(others["label"].unique())), tuple(others["image"])
    codes = np.array([known.index(label) for label in others["label"]])
    cache = PixelCache(np.stack([pixels[image] for image in images]), {image: i for i, image in enumerate(images)})
    groups = group_numbers(codes.tolist(), others["hospital"].tolist())
    known_settings = bundle.facts["training"]["settings"]
    settings = Training.model_validate({k: v for k, v in known_settings.items() if k in Training.model_fields})
    model = build_model(settings, len(known))
    probe_head(model, Part(images, codes, known, cache, groups), settings=settings, lungs=bundle.lungs)
    kernel, bias = model.get_layer("probabilities").get_weights()
    places = [known.index(name) for name in task.classes]
    return kernel[:, places], bias[places]


def softmax(logits: np.ndarray) -> np.ndarray:
    """Compute probabilities of rows of logits."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def train_head(
    features: np.ndarray, labels: np.ndarray, first: tuple[np.ndarray, np.ndarray] | None, classes: int, *, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Train the last layer as our loop does: class weights, dropout, Keras's Adam, cosine schedule."""
    random = np.random.default_rng(seed)
    limit = np.sqrt(6 / (features.shape[1] + classes))  # Glorot, as Keras initialises a new head
    kernel, bias = first or (random.uniform(-limit, limit, (features.shape[1], classes)), np.zeros(classes))
    values = [np.array(kernel, np.float64), np.array(bias, np.float64)]
    moments = [[np.zeros_like(v), np.zeros_like(v)] for v in values]
    weights = len(labels) / (classes * np.bincount(labels, minlength=classes))
    step = 0
    for epoch in range(EPOCHS):
        rate = RATE * 0.5 * (1 + np.cos(np.pi * epoch / EPOCHS))
        order = random.permutation(len(labels))
        for chosen in (order[i : i + BATCH] for i in range(0, len(order), BATCH)):
            step += 1
            kept = random.random((len(chosen), features.shape[1])) >= DROPOUT
            x = features[chosen] * kept / (1 - DROPOUT)
            error = softmax(x @ values[0] + values[1]) - np.eye(classes)[labels[chosen]]
            error *= weights[labels[chosen]][:, None] / len(chosen)
            for value, (mean, square), slope in zip(values, moments, (x.T @ error, error.sum(axis=0)), strict=True):
                mean[...] = mean + 0.1 * (slope - mean)
                square[...] = square + 0.001 * (slope**2 - square)
                pace = rate * np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
                value[...] = value - pace * mean / (np.sqrt(square) + 1e-7)
    return values[0], values[1]


def fitted(recipe: str, x: np.ndarray, y: np.ndarray, first: Any, classes: int, *, seed: int) -> Any:
    """Fit kernel and bias of the head by one recipe."""
    from covid_xray.training.head.probe import fit_head
    from covid_xray.training.sampling import shares

    if recipe == "probe":
        return fit_head(x, y, shares(y, y), strength=PROBE)
    return train_head(x, y, first, classes, seed=seed)


def trained_all(start: str, task: Task, chosen: np.ndarray, pixels: dict[str, np.ndarray], *, seed: int) -> np.ndarray:
    """Train every layer with our loop; return the probabilities of the test images."""
    from covid_xray.config import Training
    from covid_xray.training import schedule
    from covid_xray.training.batches import Part
    from covid_xray.training.cache import PixelCache
    from covid_xray.training.epochs import train_epoch
    from covid_xray.training.network import averaged
    from covid_xray.training.warm_start import begin, resolved

    rows = task.pool.iloc[chosen]
    settings = resolved(Training.model_validate({**ALL, **BEGIN[start], "seed": seed}))
    model, _ = begin(settings, task.classes)
    images, codes = tuple(rows["image"]), rows["code"].to_numpy()
    cache = PixelCache(np.stack([pixels[image] for image in images]), {image: i for i, image in enumerate(images)})
    part = Part(images, codes, task.classes, cache, codes)
    state = schedule.start(settings)
    while not schedule.finished(state, settings):
        model.optimizer.learning_rate.assign(state.learning_rate)
        train_epoch(model, part, settings=settings, epoch=state.epoch + 1)
        state = schedule.after_epoch(state, val_loss=0.0, settings=settings)  # a cosine: the last epoch is kept
    x = np.stack([pixels[image] for image in task.test["image"]])[..., None].astype(np.float32)
    with averaged(model):
        return np.concatenate([np.asarray(model.predict_on_batch(x[i : i + REST])) for i in range(0, len(x), REST)])


def train_every_layer(todo: list[tuple], pixels: dict[str, np.ndarray], file: Path, *, workers: int) -> dict:
    """Train every (task, size, start, seed) that `file` does not hold, add it, and return all answers."""
    found = dict(np.load(file)) if file.exists() else {}
    left = [(task, size, start, seed) for task, size, start, seed in todo if _key(task, size, start, seed) not in found]
    with multiprocessing.get_context("spawn").Pool(workers, _share, (pixels,)) as pool:
        for key, answers in pool.imap_unordered(_train_one, left):
            found[key] = answers
            print(f"{len(found)} of {len(todo)} trainings of every layer: {key}", flush=True)
            np.savez(file.with_suffix(".tmp.npz"), **found)
            file.with_suffix(".tmp.npz").replace(file)
    return found


def _key(task: Task, size: int, start: str, seed: int) -> str:
    return f"{task.name} {size} {start} {seed}"


def _share(pixels: dict[str, np.ndarray]) -> None:
    _train_one.pixels = pixels  # type: ignore[attr-defined]


def _train_one(item: tuple[Task, int, str, int]) -> tuple[str, np.ndarray]:
    task, size, start, seed = item
    pixels = _train_one.pixels  # type: ignore[attr-defined]
    return _key(*item), trained_all(start, task, draw(task, size, seed=seed), pixels, seed=seed)


def draw(task: Task, size: int, *, seed: int) -> np.ndarray:
    """Row numbers of the pool: the first `size` of an order in which the classes take turns as often as they are."""
    random = np.random.default_rng((seed, 1))
    order = random.permutation(len(task.pool))
    place = np.empty(len(order))
    codes = task.pool["code"].to_numpy()[order]
    for code in range(len(task.classes)):  # the smaller sets hold the classes in the shares of the pool
        mine = np.flatnonzero(codes == code)
        place[mine] = (np.arange(len(mine)) + 0.5) / len(mine)
    return order[np.argsort(place, kind="stable")][:size]


def scores(answers: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """AUROC (of several classes: the mean of one against the others) and macro-F1 for each row of weights: R x 2.

    Args:
        answers: N x C probabilities.
        labels: N class numbers.
        weights: R x N, how often each image counts.
    """
    classes = answers.shape[1]
    areas, f1 = [], []
    said = answers.argmax(axis=1)
    for code in range(classes):
        truth = labels == code
        order = np.argsort(answers[:, code], kind="stable")
        positive, negative = (weights * truth)[:, order], (weights * ~truth)[:, order]
        below = np.cumsum(negative, axis=1)
        areas.append((positive * below).sum(axis=1) / (positive.sum(axis=1) * negative.sum(axis=1)))
        hits = weights @ (truth & (said == code))
        f1.append(2 * hits / np.maximum(weights @ truth + weights @ (said == code), 1e-9))
    return np.stack([np.mean(areas, axis=0), np.mean(f1, axis=0)], axis=1)


def bootstrap(answers: dict[str, np.ndarray], task: Task) -> dict[str, dict[str, Any]]:
    """Compute means over seeds and differences with 95 % intervals; test people and seeds are resampled together.

    Args:
        answers: name -> seeds x N x C, of networks that answered the same images after the same draws.
    """
    labels = task.test["code"].to_numpy()
    people = np.unique(task.test["person"], return_inverse=True)[1]
    random = np.random.default_rng(0)
    drawn = random.integers(people.max() + 1, size=(ROUNDS, people.max() + 1))
    counts = np.stack([np.bincount(row, minlength=people.max() + 1) for row in drawn])[:, people]
    weights = np.vstack([np.ones(len(people)), counts])  # the first row: everybody once
    seeds = random.integers(len(next(iter(answers.values()))), size=(ROUNDS + 1, len(next(iter(answers.values())))))
    seeds[0] = np.arange(seeds.shape[1])
    found = {}
    for name, runs in answers.items():
        each = np.stack([scores(one, labels, weights) for one in runs], axis=1)  # rounds x seeds x 2
        found[name] = np.take_along_axis(each, seeds[..., None], axis=1).mean(axis=1)
    gaps = {f"{a} - {b}": found[a] - found[b] for a, b in itertools.permutations(found, 2)}
    return {name: _summary(values, len(np.unique(people))) for name, values in {**found, **gaps}.items()}


def _summary(values: np.ndarray, count: int) -> dict[str, Any]:
    low, high = np.nanpercentile(values[1:], [2.5, 97.5], axis=0)
    value = values[0]
    names = ("auroc", "macro_f1")
    return {n: {"value": value[i], "ci_low": low[i], "ci_high": high[i], "n": count} for i, n in enumerate(names)}


def measured(
    task: Task, pixels: dict[str, np.ndarray], models: dict[str, bytes], heads: dict[str, Any], *, seeds: int
) -> dict:
    """Score every recipe, start and size, from embeddings that are computed once."""
    count, labels = len(task.classes), task.pool["code"].to_numpy()
    stack = lambda rows: np.stack([pixels[image] for image in rows["image"]])  # noqa: E731
    features = {s: (embedded(m, stack(task.pool)), embedded(m, stack(task.test))) for s, m in models.items()}
    result: dict[str, Any] = {
        "classes": task.classes,
        "why": task.why,
        "pool": _counts(task.pool),
        "test": _counts(task.test),
        "people": int(task.test["person"].nunique()),
        "head_known": heads["shipped"] is not None,
        "sizes": {},
    }
    for size in SIZES:
        draws = [draw(task, size, seed=seed) for seed in range(seeds)]
        answers = {}
        ways = [
            *itertools.product(("head", "probe"), STARTS),
            *([("head", "without hospital")] if "without hospital" in heads else []),
        ]
        for recipe, start in ways:
            x, test = features["imagenet" if start == "without hospital" else start]
            fits = [fitted(recipe, x[d], labels[d], heads.get(start), count, seed=k) for k, d in enumerate(draws)]
            answers[f"{start}, {recipe}"] = np.stack([softmax(test @ kernel + bias) for kernel, bias in fits])
        for start, first in heads.items():
            if first is not None:
                test = features["imagenet" if start == "without hospital" else start][1]
                answers[f"{start}, as it is"] = np.stack([softmax(test @ first[0] + first[1])] * seeds)
        result["sizes"][size] = bootstrap(answers, task)
        print(f"{task.name} {size}: done", flush=True)
    return result


def measured_all(task: Task, trained: dict[str, np.ndarray], *, seeds: int) -> dict:
    """Score the networks of which every layer was trained."""
    return {
        size: bootstrap(
            {f"{start}, all": np.stack([trained[_key(task, size, start, seed)] for seed in range(seeds)])
             for start in STARTS}, task)
        for size in SIZES
    }  # fmt: skip


def _counts(rows: pd.DataFrame) -> dict[str, int]:
    return {str(label): int(count) for label, count in rows["label"].value_counts().sort_index().items()}


def main() -> None:
    """Write docs/results/init-curve; about 15 minutes on two free cores without --all-seeds."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--scratch", type=Path, required=True)
    parser.add_argument("--views", type=Path)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--all-seeds", type=int, default=0)
    parser.add_argument("--all-tasks", nargs="*", help="--all-seeds for these tasks only")
    parser.add_argument("--trained", type=Path, help="answers of networks of which every layer was trained")
    parser.add_argument("--train-only", action="store_true")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--tasks", nargs="*", default=["kermany", "nih"])
    chosen = parser.parse_args()
    from covid_xray.training.warm_start import open_initial

    before, started = os.getloadavg()[0], time.time()
    chosen.scratch.mkdir(parents=True, exist_ok=True)
    bundle = open_initial("default")
    table = study(chosen.data)
    counted = bundle.facts["training_data"]["images"]["train"]
    ours = table[(table["part"] == "train")]["label"].value_counts().to_dict()
    same = {k: int(v) for k, v in ours.items()} == counted
    print(f"the bundle's training part is that of scripts/curate_cxr.py: {same}", flush=True)
    made = tasks(table, chosen.tasks)
    shown = {
        task.name: network_inputs(table, [*task.pool["image"], *task.test["image"]], chosen, bundle) for task in made
    }
    trained: dict[str, np.ndarray] = {}
    all_tasks = [task for task in made if task.name in (chosen.all_tasks or chosen.tasks)]
    if chosen.all_seeds:
        draws = itertools.product(range(chosen.all_seeds), all_tasks, SIZES, STARTS)
        todo = [(task, size, start, seed) for seed, task, size, start in draws]
        pixels = {image: view for views in shown.values() for image, view in views.items()}
        file = chosen.trained or chosen.scratch / "trained.npz"
        trained = train_every_layer(todo, pixels, file, workers=chosen.workers)
    if chosen.train_only:
        return
    models, results = trunks(bundle), {}
    settings = bundle.facts["training"]["settings"]
    for task in made:
        pixels = shown[task.name]
        heads = {"shipped": first_head(bundle, task.classes)}
        if heads["shipped"] is not None and not settings["epochs"]:
            others = learned_elsewhere(table, task, bundle.classes)
            heads["without hospital"] = head_without_hospital(
                others, task, network_inputs(table, list(others["image"]), chosen, bundle), bundle
            )
        results[task.name] = measured(task, pixels, models, heads, seeds=chosen.seeds)
        if chosen.all_seeds and task in all_tasks:
            for size, found in measured_all(task, trained, seeds=chosen.all_seeds).items():
                results[task.name]["sizes"][size] |= found
    facts = {
        "bundle": {"name": bundle.name, "version": bundle.version, "sha256": bundle.sha256,
                   "view": "cropped to the lungs" if bundle.crop else "whole", "training_part_known": same,
                   "trained": {k: settings.get(k) for k in ("weights", "train_from", "epochs", "probe")}},
        "seeds": chosen.seeds, "all_seeds": chosen.all_seeds, "rounds": ROUNDS,
        "all_tasks": [task.name for task in all_tasks],
        "recipe": {"epochs": EPOCHS, "learning_rate": RATE, "batch_size": BATCH, "dropout": DROPOUT, "probe": PROBE},
        "tasks": results, "seconds": round(time.time() - started),
    }  # fmt: skip
    chart(results, RESULTS / "init-curve.png")
    views = " --views FOLDER" if chosen.views else ""
    command = (
        f"python -m experiments.init_curve --data FOLDER --scratch FOLDER{views} --seeds {chosen.seeds} "
        f"--all-seeds {chosen.all_seeds} --tasks {' '.join(chosen.tasks)}"
        + (f" --all-tasks {' '.join(chosen.all_tasks)}" if chosen.all_tasks else "")
    )
    for result in results.values():
        for size, found in result["sizes"].items():
            result["sizes"][size] = {name: found[name] for name in found if " - " not in name or name in COMPARED}
    title = "Fine-tuning on few images, from three starts"
    write_results("init-curve", facts, page_of(facts), title=title, command=command, note=load_note(before))


if __name__ == "__main__":
    main()
