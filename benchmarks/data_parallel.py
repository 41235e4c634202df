"""Two processes that train together against one, and against TensorFlow alone: loss curves and seconds.

Drawn phantoms and the original's network made small, float32, no dropout, the same batches of 32: the curves have to
agree within 1e-3 (`covid-xray train --processes 2` against `--processes 1` and against plain `train`).

    python benchmarks/data_parallel.py [--each 60] [--epochs 8]
"""

import argparse
import csv
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import load_note, markdown_table, write_results

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
import os

GOAL = 1e-3
VARIANTS = {"two processes": ["--processes", "2"], "one process": ["--processes", "1"], "TensorFlow, no Ray": []}
SETTINGS = ("image_size=64", "blocks=[16,32,64]", "convolutions=1", "dense=[64]", "dropout=0", "precision=float32")
SETTINGS += (
    "batch_size=32",
    "early_stopping_patience=50",
    "calibration_fraction=0",
    "test_fraction=0",
    "val_fraction=0.25",
)


def train(data: Path, split: Path | None, out: Path, epochs: int, options: list[str]) -> dict:
    """One run of the command: its curve and its wall time."""
    command = [
        sys.executable,
        "-m",
        "covid_xray",
        "train",
        "--data",
        str(data),
        "-o",
        str(out),
        "--epochs",
        str(epochs),
    ]
    command += [part for setting in SETTINGS for part in ("--set", setting)]
    command += ["--split", str(split)] if split else []
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
    """Train the three, compare them with the first."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--each", type=int, default=60)
    parser.add_argument("--epochs", type=int, default=8)
    args = parser.parse_args()
    from datasets import draw_folders

    before = os.getloadavg()[0]
    runs: dict[str, dict] = {}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        data = draw_folders(root / "set", each=args.each)
        for number, (name, options) in enumerate(VARIANTS.items()):
            split = root / "0" / "split.csv"
            runs[name] = train(data, split if number else None, root / str(number), args.epochs, options)
            print(name, json.dumps(runs[name]), flush=True)
    two = runs["two processes"]
    for run in runs.values():
        run["furthest"] = max(
            abs(a - b) for key in ("loss", "val_loss") for a, b in zip(run[key], two[key], strict=True)
        )
    table = [
        [name, f"{run['loss'][0]:.6f}", f"{run['loss'][-1]:.6f}", f"{run['val_loss'][-1]:.6f}",
         f"{run['furthest']:.1e}",
         f"{sorted(run['epoch_seconds'])[len(run['epoch_seconds']) // 2]:.2f}", f"{run['seconds']:.0f}"]
        for name, run in runs.items()
    ]  # fmt: skip
    header = [
        "",
        "loss, first epoch",
        "last",
        "validation, last",
        "furthest from two processes",
        "s an epoch",
        "s in all",
    ]
    met = max(run["furthest"] for run in runs.values())
    text = f"Goal: no loss of any epoch further than {GOAL} from that of two processes. Got: {met:.1e}.\n\n"
    write_results(
        "data_parallel",
        {"each": args.each, "epochs": args.epochs, "goal": GOAL, "furthest": met, "runs": runs},
        text + markdown_table(header, table),
        command=f"python benchmarks/data_parallel.py --each {args.each} --epochs {args.epochs}",
        note=load_note(before),
    )


if __name__ == "__main__":
    main()
