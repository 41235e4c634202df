"""Measure training speed in float32 and in bfloat16, to decide which networks `precision=auto` gives bfloat16.

    python -m benchmarks.precisions [NETWORK ...] [--rounds 1] [--seconds 8] [--batch 16]

On a CPU, networks of depthwise convolutions gain nothing or lose: oneDNN has fast bfloat16 kernels for plain ones only.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from statistics import median

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

PRECISIONS = ("float32", "mixed_bfloat16")
NETWORKS = ("vgg", "efficientnet_lite0", "ConvNeXtTiny", "DenseNet121", "EfficientNetB0", "EfficientNetV2B0",
            "InceptionV3", "MobileNetV2", "MobileNetV3Large", "NASNetMobile", "ResNet50", "ResNet50V2", "VGG16",
            "Xception")  # fmt: skip


def main() -> None:
    """Measure in turns, each in a process of its own, and write docs/results/precisions."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", default=NETWORKS)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--measure", nargs=2, metavar=("NETWORK", "PRECISION"))
    args = parser.parse_args()
    if args.measure:
        print(json.dumps(measure(*args.measure, seconds=args.seconds, batch=args.batch)))
        return
    from benchmarks._support.results import load_note, markdown_table, write_results

    before = os.getloadavg()[0]
    rates: dict[str, dict[str, list[float]]] = {name: {kind: [] for kind in PRECISIONS} for name in args.networks}
    for _ in range(args.rounds):
        for name in args.networks:
            for kind in PRECISIONS:
                command = [sys.executable, "-m", __spec__.name, "--measure", name, kind, "--seconds", str(args.seconds),
                           "--batch", str(args.batch)]  # fmt: skip
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                rates[name][kind].append(float(done.stdout.splitlines()[-1]))
            print(name, rates[name], flush=True)
    found = {name: {kind: median(values) for kind, values in kinds.items()} for name, kinds in rates.items()}
    rows = [(name, *(f"{kinds[kind]:.1f}" for kind in PRECISIONS),
             f"{kinds['mixed_bfloat16'] / kinds['float32']:.2f}") for name, kinds in found.items()]  # fmt: skip
    table = markdown_table(["network", "float32, images/s", "bfloat16, images/s", "bfloat16 / float32"], rows)
    named = " ".join(["", *args.networks]) if tuple(args.networks) != NETWORKS else ""
    command = (
        f"python -m benchmarks.precisions{named} --rounds {args.rounds} --seconds {args.seconds:g} --batch {args.batch}"
    )
    title = "bfloat16 against float32 in training"
    write_results("precisions", {"networks": found}, table, title=title, command=command, note=load_note(before))


def measure(name: str, kind: str, *, seconds: float, batch: int) -> float:
    """Measure images per second of the training step on tensors in memory, from random weights, at 224 x 224."""
    import numpy as np

    from covid_xray.config import Training
    from covid_xray.training.network import build_model

    settings = Training.model_validate({"model": name, "precision": kind, "batch_size": batch})
    model = build_model(settings, 3)
    random = np.random.default_rng(0)
    x = random.integers(0, 255, (batch, settings.image_size, settings.image_size, 1)).astype(np.float32)
    y = np.eye(3, dtype=np.float32)[random.integers(0, 3, batch)]
    for _ in range(2):
        model.train_on_batch(x, y)
    started, count = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        model.train_on_batch(x, y)
        count += batch
    return count / (time.perf_counter() - started)


if __name__ == "__main__":
    main()
