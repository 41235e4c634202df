"""Time one image from the shell: `covid-xray predict` against TensorFlow, a .keras file and `model.predict`.

Each measurement is a process of its own; the variants take turns and medians are compared.

    python -m benchmarks.cold_start --data FOLDER_OF_THE_RADIOGRAPHS --run RUN_FOLDER [--rounds 7]
"""

import argparse
import json
import os
import sys
from pathlib import Path
from statistics import median

from benchmarks._support.results import load_note, markdown_table, timed, write_results

ORIGINAL = """
import sys
import numpy as np
import tensorflow as tf
model = tf.keras.models.load_model(sys.argv[2])
height, width = model.input_shape[1:3]
image = tf.keras.utils.load_img(sys.argv[1], color_mode="grayscale", target_size=(height, width))
print(model.predict(tf.keras.utils.img_to_array(image)[None], verbose=0)[0].tolist())
"""


def main() -> None:
    """Measure all variants in turns and write docs/results/cold_start."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    image = sorted((args.data / "images").rglob("*.jpg"))[0]
    commands = variants(image, args.run)
    before = os.getloadavg()[0]
    for command in commands.values():
        timed(command)  # everything is in the page cache from here on, for all alike
    runs: dict[str, list[dict]] = {name: [] for name in commands}
    for turn in range(args.rounds):
        for name, command in commands.items():
            runs[name].append(timed(command))
            print(f"round {turn + 1}: {name}: {runs[name][-1]['seconds']:.2f} s", flush=True)
    check_same_answer(runs)
    report(runs, before=before, rounds=args.rounds)


def variants(image: Path, run: Path) -> dict[str, list[object]]:
    """Map names to commands."""
    predict = [Path(sys.executable).parent / "covid-xray", "predict", image, "--bundle", run / "bundle"]
    found: dict[str, list[object]] = {
        "covid-xray predict (table)": predict,
        "covid-xray predict --json": [*predict, "--json"],
        "original: import tensorflow, load .keras, predict": [
            sys.executable,
            "-c",
            ORIGINAL,
            image,
            run / "model.keras",
        ],
        "Python alone": [sys.executable, "-c", "pass"],
        "Python and import onnxruntime": [sys.executable, "-c", "import onnxruntime"],
    }
    if (run / "bundle" / "model_int8.onnx").is_file():
        found["covid-xray predict --json --precision int8"] = [*predict, "--json", "--precision", "int8"]
    return found


def check_same_answer(runs: dict[str, list[dict]]) -> None:
    """Stop when the two do not give about the same probabilities."""
    ours = json.loads(runs["covid-xray predict --json"][0]["output"])["probabilities"].values()
    theirs = json.loads(runs["original: import tensorflow, load .keras, predict"][0]["output"].splitlines()[-1])
    # Keras resizes by nearest neighbour here, as load_img does by default: close, but not the same pixels.
    difference = max(abs(a - b) for a, b in zip(ours, theirs, strict=True))
    if difference > 0.2:
        raise SystemExit(f"The two networks answer differently: the probabilities differ by up to {difference:.2f}.")


def report(runs: dict[str, list[dict]], *, before: float, rounds: int) -> None:
    """Write the page: medians and ratios."""
    seconds = {name: median(run["seconds"] for run in turns) for name, turns in runs.items()}
    cpu = {name: median(run["cpu_seconds"] for run in turns) for name, turns in runs.items()}
    memory = {name: max(run["peak_mib"] for run in turns) for name, turns in runs.items()}
    original = "original: import tensorflow, load .keras, predict"
    ours = [name for name in runs if name.startswith("covid-xray")]
    own = {name: seconds[name] - seconds["Python and import onnxruntime"] for name in ours}
    ratios = {
        name: median(b["seconds"] / a["seconds"] for a, b in zip(runs[name], runs[original], strict=True))
        for name in ours
    }
    rows = [
        [
            name,
            f"{seconds[name]:.2f}",
            f"{cpu[name]:.2f}",
            f"{memory[name]:.0f}",
            f"{ratios[name]:.1f}x" if name in ratios else "",
            f"{own[name]:.2f}" if name in own else "",
        ]
        for name in runs
    ]
    header = [
        "variant",
        "seconds",
        "processor seconds",
        "peak MiB",
        "times faster",
        "seconds beyond Python and ONNX Runtime",
    ]
    goals = (
        f"Goals: at least 15 times faster (measured: {ratios[ours[0]]:.1f} with the table, {ratios[ours[1]]:.1f} with "
        f"--json); at most 0.25 s beyond Python and the import of ONNX Runtime (measured: {own[ours[0]]:.2f} and "
        f"{own[ours[1]]:.2f})."
    )
    for turns in runs.values():
        for run in turns:
            del run["output"]
    write_results(
        "cold_start",
        {"rounds": rounds, "load_before": before, "runs": runs, "seconds": seconds, "ratios": ratios, "own": own},
        f"Medians of {rounds} rounds, one image, network of 108 MB.\n\n{markdown_table(header, rows)}\n\n{goals}",
        title="One image from the shell",
        command=f"python -m benchmarks.cold_start --data DATA --run RUN --rounds {rounds}",
        note=load_note(before),
    )


if __name__ == "__main__":
    main()
