"""Measure the peak memory of training and exporting the default network, beside Keras alone on the same network.

python -m benchmarks.memory [--patients 90] [--batch-size 32]
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

from benchmarks._support.results import load_note, markdown_table, timed, write_results
from covid_xray.images.phantoms.dataset import draw_dataset

TARGETS = {"covid-xray train": 3000, "covid-xray export": 2000}  # MB
# The same network on arrays that are in memory: no decoding, augmentation, checkpoint or export.
KERAS = """
import sys
import numpy as np
from covid_xray.config import Training
from covid_xray.models.zoo import build
images, batch = map(int, sys.argv[1:])
model = build(Training(), 3)
model.compile("adam", "sparse_categorical_crossentropy")
x = np.random.default_rng(0).integers(0, 255, (images, *model.input_shape[1:])).astype("float32")
model.fit(x, np.arange(images) % 3, batch_size=batch, epochs=1, verbose=0)
"""


def main() -> None:
    """Run each once in a process of its own and write docs/results/memory."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patients", type=int, default=90)
    parser.add_argument("--batch-size", type=int, default=32)
    args, before = parser.parse_args(), os.getloadavg()[0]
    ours = [sys.executable, "-m", "covid_xray"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        draw_dataset(folder / "data", patients=args.patients, size=256, clean=True)
        settings = ("--epochs", 1, "--set", f"batch_size={args.batch_size}", "--set", "precision=float32")
        peaks = {
            "Keras: fit alone": timed([sys.executable, "-c", KERAS, args.patients, args.batch_size]),
            "covid-xray train": timed([*ours, "train", "--data", folder / "data", "-o", folder / "run", *settings]),
            "covid-xray export": timed([*ours, "export", folder / "run"]),
        }
    megabytes = {name: found["peak_mib"] * 2**20 / 1e6 for name, found in peaks.items()}
    rows = [(name, f"{value:,.0f}", f"under {TARGETS[name]:,}" if name in TARGETS else "") for name, value in
            megabytes.items()]  # fmt: skip
    table = markdown_table(("process", "peak, MB", "target"), rows)
    text = f"The default network, 224 pixels, batches of {args.batch_size}, float32, one epoch of phantoms.\n\n{table}"
    command = f"python -m benchmarks.memory --patients {args.patients} --batch-size {args.batch_size}"
    write_results("memory", {"megabytes": megabytes, "targets": TARGETS}, text, title="Memory of the default network",
                  command=command, note=load_note(before))  # fmt: skip


if __name__ == "__main__":
    main()
