"""Time an epoch of the original network: our pipeline, the notebook's, and the bare training step.

Every measurement is a process of its own (so that peak memory is its own), the variants take turns, and the medians
are compared. All train the same network on the same 640 images in batches of 32.

    python -m benchmarks.train_epoch --data FOLDER_OF_THE_RADIOGRAPHS [--rounds 3]
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

IMAGES, BATCH, WARM = 640, 32, 3
VARIANTS = ("notebook", "ours", "bare", "ours_float32")


def main() -> None:
    """Measure all variants in turns, or one of them with `--measure` (printed as JSON)."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--measure", choices=VARIANTS)
    parser.add_argument("--work", type=Path, help="(with --measure)")
    args = parser.parse_args()
    if args.measure:
        print(json.dumps(measure(args.measure, args.data, args.work)))
        return
    report(args.data, args.rounds)


def report(data: Path, rounds: int) -> None:
    """Run the variants in turns and write docs/results/train_epoch."""
    from benchmarks._support.results import markdown_table, write_results

    runs: dict[str, list[dict]] = {name: [] for name in VARIANTS}
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(rounds):
            for name in VARIANTS:
                command = [sys.executable, "-m", __spec__.name, "--data", data, "--measure", name, "--work", folder]
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                runs[name].append(json.loads(done.stdout.splitlines()[-1]))
                print(f"round {turn + 1}: {name} {runs[name][-1]}", flush=True)
    seconds = {name: median(run["seconds"] for run in turns) for name, turns in runs.items()}
    memory = {name: max(run["peak_mib"] for run in turns) for name, turns in runs.items()}
    ratios = {
        "notebook / ours": seconds["notebook"] / seconds["ours"],
        "notebook / ours in float32": seconds["notebook"] / seconds["ours_float32"],
        "ours / bare step": seconds["ours"] / seconds["bare"],
    }
    goals = {"notebook / ours": ">= 2.0 (BF16)", "notebook / ours in float32": ">= 1.15", "ours / bare step": "<= 1.08"}
    names = {
        "notebook": "the notebook's pipeline, float32",
        "ours": f"ours, {runs['ours'][0]['precision']}, augmentation on",
        "bare": f"the bare training step on tensors in memory, {runs['bare'][0]['precision']}",
        "ours_float32": "ours, float32, augmentation on",
    }
    first = markdown_table(
        ("pipeline", "seconds per epoch (median)", "images/s", "peak memory, MiB"),
        [(names[n], f"{seconds[n]:.1f}", f"{IMAGES / seconds[n]:.1f}", f"{memory[n]:.0f}") for n in VARIANTS],
    )
    second = markdown_table(("ratio", "measured", "goal"), [(n, f"{v:.2f}", goals[n]) for n, v in ratios.items()])
    decoding = f"{runs['ours'][0]['decode_seconds']:.1f} s into a cache of {runs['ours'][0]['cache_mib']:.0f} MiB"
    note = (
        f"{IMAGES} images, batches of {BATCH}, {rounds} rounds; load average before the run: {load:.1f}. Our pipeline "
        f"decodes once ({decoding}), which is not part of the epoch; the notebook decodes in every epoch."
    )
    result = {"runs": runs, "seconds": seconds, "peak_mib": memory, "ratios": ratios, "load_before": load}
    text, command = f"{first}\n\n{second}", "python -m benchmarks.train_epoch"
    write_results("train_epoch", result, text, title="An epoch of training", command=command, note=note)
    print(first, second, sep="\n\n")


def measure(name: str, data: Path, work: Path) -> dict:
    """Warm up, time one epoch, and return seconds and peak memory of this process."""
    import keras

    keras.utils.set_random_seed(0)
    facts = {"notebook": notebook, "ours": ours, "bare": bare, "ours_float32": ours_float32}[name](data, work)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {**facts, "peak_mib": peak}


def files(data: Path):
    """Return the first images of three classes as a manifest."""
    from covid_xray.data.manifest.manifest import read_manifest

    manifest = read_manifest(data, check=False)
    rows = manifest.table[manifest.table["source"].isin(["kermany", "ieee8023"])]
    parts = [("covid", 200), ("normal", 240), ("virus", 200)]
    return manifest.take([i for label, n in parts for i in rows[rows["label"] == label]["image"][:n]])


def notebook(data: Path, work: Path) -> dict:
    """Time `image_dataset_from_directory` and `fit` in float32, as in the notebook; its network with padding same."""
    import keras

    from covid_xray.config import Training
    from covid_xray.models import vgg

    folder = work / "folders"
    manifest = files(data)
    for row in manifest.table.itertuples():
        link = folder / row.label / Path(row.image).name
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.is_symlink():
            link.symlink_to(manifest.path(row.image).resolve())
    dataset = keras.utils.image_dataset_from_directory(
        folder, image_size=(224, 224), batch_size=BATCH, label_mode="categorical", shuffle=True, verbose=False
    )
    grey = vgg.build(Training(), 3)
    layers = grey.layers[grey.layers.index(grey.get_layer("block1_conv1")) :]
    model = keras.Sequential([keras.Input((224, 224, 3)), *layers])
    model.compile(optimizer=keras.optimizers.Adam(1e-3), loss="categorical_crossentropy", metrics=["accuracy"])
    model.fit(dataset.take(WARM), verbose=0)
    started = time.perf_counter()
    model.fit(dataset, epochs=1, verbose=0)
    return {"seconds": time.perf_counter() - started, "precision": "float32"}


def prepared(data: Path, work: Path, precision: str):
    """Return our training part, settings and compiled network."""
    import numpy as np

    from covid_xray.config import Training
    from covid_xray.training.batches import Part
    from covid_xray.training.cache import build_cache
    from covid_xray.training.network import build_model

    settings = Training(batch_size=BATCH, precision=precision)
    manifest = files(data)
    started = time.perf_counter()
    cache = build_cache(manifest, folder=Path(tempfile.mkdtemp(dir=work)), height=224, width=224)
    decode = time.perf_counter() - started
    classes = manifest.classes
    labels = np.array([classes.index(label) for label in manifest.table["label"]])
    part = Part(tuple(manifest.table["image"]), labels, classes, cache, labels)
    return (
        part,
        settings,
        build_model(settings, 3),
        {"decode_seconds": decode, "cache_mib": cache.pixels.nbytes / 2**20},
    )


def ours(data: Path, work: Path, *, wanted: str = "auto") -> dict:
    """Time the epoch of `covid-xray train`: shuffled, augmented, with the next batch prepared in a thread."""
    import dataclasses

    from covid_xray.training import precision
    from covid_xray.training.epochs import train_epoch

    part, settings, model, facts = prepared(data, work, wanted)
    few = dataclasses.replace(part, images=part.images[: WARM * BATCH], labels=part.labels[: WARM * BATCH])
    train_epoch(model, few, settings=settings.model_copy(update={"class_weights": False}), epoch=0)
    started = time.perf_counter()
    train_epoch(model, part, settings=settings, epoch=1)
    return {"seconds": time.perf_counter() - started, "precision": precision.choose(wanted), **facts}


def ours_float32(data: Path, work: Path) -> dict:
    """Time the same without bfloat16."""
    return ours(data, work, wanted="float32")


def bare(data: Path, work: Path) -> dict:
    """Time forward, backward and update alone, on one batch that stays in memory."""
    import tensorflow as tf

    from covid_xray.training import precision
    from covid_xray.training.batches import plain_batches

    part, _, model, _ = prepared(data, work, "auto")
    batch = next(iter(plain_batches(part, batch_size=BATCH)))
    x, y = tf.constant(batch.x), tf.constant(batch.y)
    optimizer, loss_of = model.optimizer, tf.keras.losses.CategoricalCrossentropy()
    optimizer.build(model.trainable_variables)

    @tf.function
    def step() -> tf.Tensor:
        with tf.GradientTape() as tape:
            loss = loss_of(y, model(x, training=True))
        optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
        return loss

    for _ in range(WARM):
        step().numpy()
    started = time.perf_counter()
    for _ in range(IMAGES // BATCH):
        step().numpy()
    return {"seconds": time.perf_counter() - started, "precision": precision.choose("auto")}


if __name__ == "__main__":
    main()
