"""Measure milliseconds per image by the batch size of a call of ONNX Runtime, and whether answers stay bit-identical.

python -m benchmarks.images_per_call [BUNDLE ...] [--images 64] [--rounds 5]     (no BUNDLE: the one that ships)
"""

import argparse
import os
import time
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks._support.results import load_note, markdown_table, write_results
from covid_xray.bundle.bundle import load_bundle
from covid_xray.inference import engines
from covid_xray.inference.predictor import Predictor

SIZES = (1, 2, 4, 8, 16, 32)


def main() -> None:
    """Measure in turns and write docs/results/images_per_call."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundles", nargs="*", type=Path, default=[None])
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    before, piece = os.getloadavg()[0], engines.PIECE
    rows = [row for bundle in args.bundles for row in measure(bundle, args.images, args.rounds)]
    header = ["network", "threads", *(str(size) for size in SIZES), "bit-identical"]
    cells = [[row["network"], row["threads"], *(f"{row['ms'][size]:.2f}" for size in SIZES),
              "yes" if row["same"] else f"no, {row['furthest']:.1e}"] for row in rows]  # fmt: skip
    note = f"`engines.PIECE` is {piece}: larger batches are split into calls of that size. {load_note(before)}"
    given = " BUNDLE ..." if args.bundles != [None] else ""
    command = f"python -m benchmarks.images_per_call{given} --images {args.images} --rounds {args.rounds}"
    text = f"Milliseconds per image, by images per call.\n\n{markdown_table(header, cells)}"
    title = "Images per call of ONNX Runtime"
    write_results("images_per_call", {"rows": rows}, text, title=title, command=command, note=note)


def measure(folder: Path | None, images: int, rounds: int) -> list[dict]:
    """Measure medians by images per call, with one thread and with one thread per core."""
    found = []
    for threads in sorted({1, os.cpu_count() or 1}):
        predictor = Predictor(load_bundle(folder), threads=threads)
        shape = (max(SIZES), predictor.bundle.height, predictor.bundle.width)
        pixels = np.random.default_rng(0).integers(0, 255, shape, dtype=np.uint8)
        times: dict[int, list[float]] = {size: [] for size in SIZES}
        furthest = 0.0
        engines.PIECE = 1
        alone = predictor.run(pixels, class_maps=True)
        for _ in range(rounds):
            for size in SIZES:
                engines.PIECE = size
                together = predictor.run(pixels, class_maps=True)
                furthest = max(furthest, *(float(np.abs(together[k] - v).max()) for k, v in alone.items()))
                started, count = time.perf_counter(), 0
                while count < images:
                    predictor.run(pixels, class_maps=True)
                    count += len(pixels)
                times[size].append((time.perf_counter() - started) / count * 1000)
        found.append({"network": f"{predictor.bundle.name} {predictor.bundle.version}", "threads": threads,
                      "ms": {size: median(values) for size, values in times.items()}, "furthest": furthest,
                      "same": furthest == 0.0})  # fmt: skip
    return found


if __name__ == "__main__":
    main()
