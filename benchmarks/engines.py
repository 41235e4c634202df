"""Measure latency at batch 1, throughput at batch 16 and agreement of labels for every engine and precision.

python -m benchmarks.engines --data FOLDER_OF_THE_RADIOGRAPHS --run RUN_FOLDER [--images 320] [--rounds 5]
"""

import argparse
import csv
import os
import time
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks._support.results import load_note, markdown_table, write_results
from covid_xray import Predictor
from covid_xray.errors import CovidXrayError

CHOICES = [
    ("onnxruntime", "float32"),
    ("onnxruntime", "int8"),
    ("openvino", "float32"),
    ("openvino", "bfloat16"),
    ("openvino", "int8"),
]


def main() -> None:
    """Measure all engines in turns and write docs/results/engines."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--images", type=int, default=320, help="of the run's validation part")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    before = os.getloadavg()[0]
    opened, missing = open_all(args.run / "bundle")
    pixels = read(args.data, args.run, next(iter(opened.values())), args.images)
    times = measure(opened, pixels, rounds=args.rounds)
    reference = answers(opened["onnxruntime float32"], pixels)
    agreement = {name: compare(answers(predictor, pixels), reference) for name, predictor in opened.items()}
    report(times, agreement, missing, opened, count=len(pixels), args=args, before=before)


def open_all(bundle: Path) -> tuple[dict[str, Predictor], dict[str, str]]:
    """Open the engines that run here; map the others to the reason why they do not."""
    opened, missing = {}, {}
    for engine, precision in CHOICES:
        try:
            opened[f"{engine} {precision}"] = Predictor(bundle, engine=engine, precision=precision)
        except CovidXrayError as error:
            missing[f"{engine} {precision}"] = error.message
    return opened, missing


def read(data: Path, run: Path, predictor: Predictor, count: int) -> np.ndarray:
    """Read inputs that no engine was calibrated on: the run's validation part."""
    with (run / "split.csv").open(encoding="utf-8") as stream:
        images = [row["image"] for row in csv.DictReader(stream) if row["split"] == "val"]
    chosen = images[:: max(1, len(images) // count)][:count]
    return np.stack([predictor.read(data / image) for image in chosen])


def measure(opened: dict[str, Predictor], pixels: np.ndarray, *, rounds: int) -> dict[str, dict[str, float]]:
    """Measure median milliseconds at batch 1 and images per second at batch 16, the engines in turns."""
    single: dict[str, list[float]] = {name: [] for name in opened}
    batched: dict[str, list[float]] = {name: [] for name in opened}
    for _ in range(rounds + 1):  # the first round warms up
        for name, predictor in opened.items():
            for image in pixels[:8]:
                single[name].append(seconds(predictor, image[None]))
            for start in range(0, min(64, len(pixels)), 16):
                batched[name].append(seconds(predictor, pixels[start : start + 16]))
    return {
        name: {"latency_ms": 1e3 * median(single[name][8:]), "images_per_second": 16 / median(batched[name][4:])}
        for name in opened
    }


def seconds(predictor: Predictor, pixels: np.ndarray) -> float:
    """Time one run of the network."""
    started = time.perf_counter()
    predictor.run(pixels)
    return time.perf_counter() - started


def answers(predictor: Predictor, pixels: np.ndarray) -> np.ndarray:
    """Compute N x C probabilities."""
    return np.concatenate([predictor.run(pixels[i : i + 16])["probabilities"] for i in range(0, len(pixels), 16)])


def compare(received: np.ndarray, expected: np.ndarray) -> dict[str, float]:
    """Compare with onnxruntime float32: share of equal labels, and the largest difference of a probability."""
    return {
        "agreement": float(np.mean(received.argmax(axis=1) == expected.argmax(axis=1))),
        "largest_difference": float(np.abs(received - expected).max()),
    }


def report(times, agreement, missing, opened, *, count: int, args: argparse.Namespace, before: float) -> None:
    """Write the page."""
    base = times["onnxruntime float32"]["images_per_second"]
    rows = [
        [
            name,
            f"{times[name]['latency_ms']:.1f}",
            f"{times[name]['images_per_second']:.0f}",
            f"{times[name]['images_per_second'] / base:.1f}x",
            f"{agreement[name]['agreement']:.2%}",
            f"{agreement[name]['largest_difference']:.1e}",
        ]
        for name in times
    ]
    header = [
        "engine",
        "ms at batch 1",
        "images per second at batch 16",
        "times as fast as the first",
        "same labels as the first",
        "largest difference of a probability",
    ]
    predictor = next(iter(opened.values()))
    left_out = "".join(f"\n- {name}: {why}" for name, why in missing.items())
    text = (
        f"Network `{predictor.identity.name}`, {predictor.bundle.height} x {predictor.bundle.width}; {count} images "
        f"of the validation part; medians of {args.rounds} rounds in turns.\n\n{markdown_table(header, rows)}"
    )
    write_results(
        "engines",
        {"times": times, "agreement": agreement, "missing": missing, "images": count, "load_before": before},
        text + (f"\n\nNot measured:{left_out}" if missing else ""),
        title="Engines and precisions",
        command=f"python -m benchmarks.engines --data DATA --run RUN --images {count} --rounds {args.rounds}",
        note=load_note(before),
    )


if __name__ == "__main__":
    main()
