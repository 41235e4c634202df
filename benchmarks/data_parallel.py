"""Compare training in two processes with one process and with plain TensorFlow: loss curves and seconds.

Small drawn pictures, a small version of the original's network, float32, no dropout, the same batches of 32. The curves
of `covid-xray train --processes 2` and `--processes 1` have to agree within 1e-3; plain `train` is shown for
comparison. Float32 sums in another order differ in the last digit, and Adam amplifies that from step to step, faster at
a higher learning rate. In float64 the same processes, started without Ray, have to agree far better. TensorFlow against
JAX shows how far float32 drifts without any processes.

    python -m benchmarks.data_parallel [--each 60] [--epochs 8]
"""

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks._support.float64_training import curves
from benchmarks._support.results import RESULTS, ROOT, load_note, markdown_table, write_results

sys.path.insert(0, str(ROOT / "tests"))  # for the drawn data sets that its tests use

GOAL = 1e-3
RATES = (1e-4, 1e-3)
VARIANTS = {"two processes": ["--processes", "2"], "one process": ["--processes", "1"], "TensorFlow, no Ray": []}
SETTINGS = ("image_size=64", "blocks=[16,32,64]", "convolutions=1", "dense=[64]", "dropout=0", "precision=float32")
SETTINGS += (
    "batch_size=32",
    "early_stopping_patience=50",
    "calibration_fraction=0",
    "test_fraction=0",
    "val_fraction=0.25",
)


def train(data: Path, out: Path, epochs: int, options: list[str]) -> dict:
    """Run the command; return its curve and its wall time."""
    command = [sys.executable, "-m", "covid_xray", "train", "--data", str(data), "-o", str(out)]
    command += ["--epochs", str(epochs)]
    command += [part for setting in SETTINGS for part in ("--set", setting)]
    began = time.perf_counter()
    subprocess.run([*command, *options], check=True, capture_output=True)
    seconds = time.perf_counter() - began
    with (out / "history.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    return {
        "loss": [float(row["loss"]) for row in rows],
        "val_loss": [float(row["val_loss"]) for row in rows],
        "epoch_seconds": [float(row["seconds"]) for row in rows],
        "seconds": seconds,
        "processes": json.loads((out / "processes.json").read_text()) if (out / "processes.json").is_file() else None,
    }


def main() -> None:
    """Train all variants, compare them with the first, and write docs/results/data_parallel."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--each", type=int, default=60)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--keep", action="store_true", help="keep the runs of the last result; measure float64 only")
    args = parser.parse_args()
    from support.datasets import draw_folders

    before = os.getloadavg()[0]
    runs: list[dict] = []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        data, split = draw_folders(root / "set", each=args.each), root / "0" / "split.csv"
        if args.keep:
            runs = json.loads((RESULTS / "data_parallel.json").read_text())["runs"]
            make_whole_split(data, split)
        for rate in RATES if not args.keep else ():
            for name, options in VARIANTS.items():
                more = ["--set", f"learning_rate={rate}", *(["--split", str(split)] if runs else [])]
                runs.append(
                    {"rate": rate, "name": name, **train(data, root / str(len(runs)), args.epochs, options + more)}
                )
                print(json.dumps(runs[-1]), flush=True)
        exact = {rate: curves(data, split, rate=rate, epochs=args.epochs) for rate in RATES}
    for run in runs:
        two = next(other for other in runs if other["rate"] == run["rate"])
        run["away"] = [
            max(abs(run[key][epoch] - two[key][epoch]) for key in ("loss", "val_loss")) for epoch in range(args.epochs)
        ]
    float64 = {str(rate): float(np.abs(np.subtract(both[1], both[2])).max()) for rate, both in exact.items()}
    result = {"each": args.each, "epochs": args.epochs, "goal": GOAL, "runs": runs, "float64": float64, "exact": exact}
    command = f"python -m benchmarks.data_parallel --each {args.each} --epochs {args.epochs}"
    title = "Training in two processes"
    write_results("data_parallel", result, page(runs, float64), title=title, command=command, note=load_note(before))


def make_whole_split(data: Path, path: Path) -> None:
    """Write the split that the command makes of the drawn pictures."""
    from covid_xray.data.manifest.manifest import read_manifest
    from covid_xray.data.split.split import make_split, write_split

    manifest = read_manifest(data)
    path.parent.mkdir()
    write_split(path, make_split(manifest, val_fraction=0.25, test_fraction=0.0, seed=0), manifest)


def page(runs: list[dict], float64: dict[str, float]) -> str:
    """Format the goal and the curves."""
    lines = []
    for rate in RATES:
        away = next(run["away"] for run in runs if (run["rate"], run["name"]) == (rate, "one process"))
        good = next((epoch for epoch, value in enumerate(away) if value >= GOAL), len(away))
        lines.append(
            f"- learning rate {rate}: below {GOAL} in the first {good} of {len(away)} epochs, largest difference "
            f"{max(away):.1e}; in float64, without Ray, {float64[str(rate)]:.1e}."
        )
    rows = [
        [run["rate"], run["name"], f"{run['loss'][0]:.6f}", f"{run['loss'][-1]:.6f}", f"{run['val_loss'][-1]:.6f}",
         f"{max(run['away']):.1e}", f"{sorted(run['epoch_seconds'])[len(run['epoch_seconds']) // 2]:.2f}",
         f"{run['seconds']:.0f}"]
        for run in runs
    ]  # fmt: skip
    header = ["learning rate", "", "loss, first epoch", "last", "validation, last", "largest difference"]
    goal = f"Goal: in every epoch the losses of one and of two processes differ by at most {GOAL}.\n\n"
    return goal + "\n".join(lines) + "\n\n" + markdown_table([*header, "s per epoch", "s in total"], rows)


if __name__ == "__main__":
    main()
