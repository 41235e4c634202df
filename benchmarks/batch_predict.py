"""Time a folder of JPEGs to CSV: `covid-xray predict` against a loop of `model.predict` and against batches by Keras.

Every variant runs in a process of its own, from start to the written CSV. The loop over single images is measured on a
sample and scaled, as the page says. Decoding alone and the network alone are measured in one process on the same
images.

    python -m benchmarks.batch_predict --data FOLDER_OF_THE_RADIOGRAPHS --run RUN_FOLDER [--images 2000] [--rounds 2]
"""

import argparse
import importlib.util
import itertools
import json
import os
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks._support.results import load_note, markdown_table, timed, write_results

LOOP = """
import csv, sys, time, json
from pathlib import Path
import tensorflow as tf
model = tf.keras.models.load_model(sys.argv[2])
height, width = model.input_shape[1:3]
paths = sorted(Path(sys.argv[1]).glob("*.jpg"))[: int(sys.argv[4])]
rows, started = [], None
for number, path in enumerate(paths):
    if number == 5:
        started = time.perf_counter()  # the first calls trace the graph
    image = tf.keras.utils.load_img(path, color_mode="grayscale", target_size=(height, width), interpolation="bilinear")
    rows.append([path.name, *model.predict(tf.keras.utils.img_to_array(image)[None], verbose=0)[0]])
csv.writer(open(sys.argv[3], "w")).writerows(rows)
print(json.dumps({"per_image": (time.perf_counter() - started) / (len(paths) - 5)}))
"""
BATCHES = """
import csv, sys
import tensorflow as tf
model = tf.keras.models.load_model(sys.argv[2])
data = tf.keras.utils.image_dataset_from_directory(
    sys.argv[1], labels=None, color_mode="grayscale", image_size=model.input_shape[1:3], batch_size=32, shuffle=False)
probabilities = model.predict(data, verbose=0)
csv.writer(open(sys.argv[3], "w")).writerows([path, *row] for path, row in zip(data.file_paths, probabilities))
"""
LOOP_NAME, BATCHES_NAME = "(a) model.predict image by image", "(b) Keras predict on image_dataset_from_directory"


def main() -> None:
    """Measure all variants in turns and write docs/results/batch_predict."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--sample", type=int, default=200, help="images of the loop (a)")
    parser.add_argument("--memory", type=int, nargs=2, default=(500, 5000), help="images for peak memory")
    parser.add_argument("--rounds", type=int, default=2)
    args = parser.parse_args()
    paths = sorted((args.data / "images").rglob("*.jpg"))
    before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        folder = linked(paths[:: max(1, len(paths) // args.images)][: args.images], work / "images")
        runs = time_variants(folder, args, work)
        parts = alone(sorted(folder.iterdir())[: min(args.images, 480)], args.run, rounds=args.rounds)
        memory = peaks(paths, args, work)
    report(runs, parts, memory, args=args, before=before)


def linked(paths: list[Path], folder: Path) -> Path:
    """Make a flat folder of links to the images."""
    folder.mkdir()
    for number, path in enumerate(paths):
        (folder / f"{number:05}-{path.stem}.jpg").symlink_to(path)
    return folder


def engines(run: Path) -> dict[str, list[str]]:
    """Map names to options of `predict`, for the engines that are installed."""
    found = {"covid-xray predict, onnxruntime float32": []}
    int8 = (run / "bundle" / "model_int8.onnx").is_file()
    if int8:
        found["covid-xray predict, onnxruntime int8"] = ["--precision", "int8"]
    if importlib.util.find_spec("openvino") is None:
        return found
    found["covid-xray predict, openvino bfloat16"] = ["--engine", "openvino", "--precision", "bfloat16"]
    if int8:
        found["covid-xray predict, openvino int8"] = ["--engine", "openvino", "--precision", "int8"]
    return found


def predict(folder: Path, run: Path, out: Path, options: list[str]) -> list[object]:
    """Build the command."""
    program = Path(sys.executable).parent / "covid-xray"
    return [program, "predict", folder, "--bundle", run / "bundle", "--csv", "-o", out, *options]


def time_variants(folder: Path, args: argparse.Namespace, work: Path) -> dict[str, list[float]]:
    """Measure seconds from start to CSV for all images, the variants in turns."""
    seconds: dict[str, list[float]] = {}
    for turn in range(args.rounds):
        for name, options in engines(args.run).items():
            out = work / f"out-{turn}-{len(seconds)}-{name}"
            seconds.setdefault(name, []).append(timed(predict(folder, args.run, out, options))["seconds"])
            check(out / "predictions.csv", args.images)
            print(f"{name}: {seconds[name][-1]:.1f} s", flush=True)
        command = [sys.executable, "-c", BATCHES, folder, args.run / "model.keras", work / "b.csv"]
        seconds.setdefault(BATCHES_NAME, []).append(timed(command)["seconds"])
        command = [sys.executable, "-c", LOOP, folder, args.run / "model.keras", work / "a.csv", args.sample]
        loop = timed(command)
        per_image = json.loads(loop["output"].splitlines()[-1])["per_image"]
        start = max(0.0, loop["seconds"] - per_image * args.sample)
        seconds.setdefault(LOOP_NAME, []).append(start + per_image * args.images)
        print(
            f"{BATCHES_NAME}: {seconds[BATCHES_NAME][-1]:.1f} s, {LOOP_NAME}: {seconds[LOOP_NAME][-1]:.1f} s",
            flush=True,
        )
    return seconds


def check(path: Path, images: int) -> None:
    """Stop when a result lacks rows."""
    rows = path.read_bytes().count(b"\n") - 1
    if rows != images:
        raise SystemExit(f"{path.name} has {rows} rows; {images} images were given.")


def alone(paths: list[Path], run: Path, *, rounds: int) -> dict[str, dict[str, float]]:
    """Measure images per second of decoding, of the network and of both together, for each precision."""
    from covid_xray import Predictor

    result = {}
    for precision in ("float32", "int8") if (run / "bundle" / "model_int8.onnx").is_file() else ("float32",):
        predictor = Predictor(run / "bundle", precision=precision)
        list(predictor.predict_many(paths[:64]))
        ready = np.stack([predictor.read(path) for path in paths])
        turns: dict[str, list[float]] = {"decode": [], "network": [], "together": []}
        for _ in range(max(3, rounds)):
            turns["decode"].append(rate(lambda p=predictor: decode(p, paths), len(paths)))
            turns["network"].append(rate(lambda p=predictor, r=ready: network(p, r), len(paths)))
            turns["together"].append(rate(lambda p=predictor: sum(1 for _ in p.predict_many(paths)), len(paths)))
        shares = [t / min(d, n) for d, n, t in zip(*turns.values(), strict=True)]
        result[precision] = {name: median(values) for name, values in turns.items()} | {"share": median(shares)}
        print(precision, result[precision], flush=True)
    return result


def rate(work, images: int) -> float:
    """Return images per second."""
    started = time.perf_counter()
    work()
    return images / (time.perf_counter() - started)


def decode(predictor, paths: list[Path]) -> None:
    """Decode and resize all images, in as many threads as `predict_many` uses."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in pool.map(predictor.read, paths):
            pass


def network(predictor, pixels: np.ndarray) -> None:
    """Run the network on all images in batches of 16."""
    for start in range(0, len(pixels), 16):
        predictor.run(pixels[start : start + 16])


def peaks(paths: list[Path], args: argparse.Namespace, work: Path) -> dict[int, float]:
    """Measure peak memory in MiB by number of images, with the fastest precision."""
    result = {}
    options = ["--precision", "int8"] if (args.run / "bundle" / "model_int8.onnx").is_file() else []
    for count in args.memory:
        folder = linked(list(itertools.islice(itertools.cycle(paths), count)), work / f"memory-{count}")
        result[count] = timed(predict(folder, args.run, work / f"memory-out-{count}", options))["peak_mib"]
        print(f"{count} images: {result[count]:.0f} MiB", flush=True)
    return result


def report(runs, parts, memory, *, args: argparse.Namespace, before: float) -> None:
    """Write the page: medians, and ratios within each round."""
    ours = [name for name in runs if name.startswith("covid-xray")]
    ratios = {
        name: {
            peer: median(b / a for a, b in zip(runs[name], runs[peer], strict=True))
            for peer in (LOOP_NAME, BATCHES_NAME)
        }
        for name in ours
    }
    rows = [
        [name, f"{median(turns):.1f}", f"{args.images / median(turns):.0f}"]
        + ([f"{ratio:.1f}x" for ratio in ratios[name].values()] if name in ratios else ["", ""])
        for name, turns in runs.items()
    ]
    table = markdown_table(
        ["variant", "seconds", "images per second", "times as fast as (a)", "times as fast as (b)"], rows
    )
    shares = [
        [name, f"{p['decode']:.0f}", f"{p['network']:.0f}", f"{p['together']:.0f}", f"{p['share']:.2f}"]
        for name, p in parts.items()
    ]
    share_table = markdown_table(
        ["ONNX Runtime", "decode alone", "network alone", "together", "together / the slower"], shares
    )
    (few, many) = memory.items()
    text = (
        f"{args.images:,} JPEGs of at most 512 pixels to CSV, process start included; medians of {args.rounds} "
        f"rounds in turns. (a) was measured on {args.sample} images and scaled.\n\n{table}\n\n"
        "Goals: at least 10 times as fast as (a), at least 1.5 times as fast as (b).\n\n"
        f"Images per second of each part, in one process on the same cores:\n\n{share_table}\n\nGoal: at least 0.9.\n\n"
        f"Peak memory: {few[1]:.0f} MiB at {few[0]:,} images, {many[1]:.0f} MiB at {many[0]:,} "
        f"({many[1] / few[1] - 1:+.1%}; goal: within 10 %)."
    )
    write_results(
        "batch_predict",
        {"seconds": runs, "ratios": ratios, "parts": parts, "peak_mib": memory, "load_before": before},
        text,
        title="Predicting a folder of JPEGs",
        command=f"python -m benchmarks.batch_predict --data DATA --run RUN --images {args.images} "
        f"--rounds {args.rounds}",
        note=load_note(before),
    )


if __name__ == "__main__":
    main()
