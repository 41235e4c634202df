"""Measure the processor time of each stage of a batch prediction, on one thread, beside an earlier source tree.

Both trees take turns, each in a process of its own. A stage counts its own time without that of the stages inside it.

    python -m benchmarks.stages FOLDER_OF_IMAGES ... [--before SRC] [--images 96] [--rounds 5]
"""

import argparse
import functools
import importlib
import json
import os
import random
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks._support.results import ROOT, load_note, markdown_table, write_results

INFERENCE = "covid_xray.inference"
STAGES = {  # stage: the functions that it consists of, module and name; those that a tree lacks are left out
    "decode": [("predictor", "open_source")],
    "resize to the inputs": [("view", "to_input"), ("lungs", "to_input")],
    "lung network": [],  # by the outputs of the session
    "mask, sides, opacity of the lungs": [("lungs", "LungFinder.find"), ("view", "lungs_of")],
    "hulls, crop, equalise": [("view", "Viewer.view")],
    "features of the gate": [("predictor", "look"), ("networks.network", "look")],
    "appearance, for drift": [("predictor", "appearance"), ("networks.network", "appearance")],
    "classifier": [],
    "verdicts of the gate": [("gate", "Gate.judge")],
    "class maps in place, heat inside the lungs": [
        *(("predictor", name) for name in ("placed", "lung_facts")),
        *(("networks.network", name) for name in ("placed", "lung_facts")),
    ],
    "label, sets, finding": [("predictor", "Predictor.answers")],
}
BETWEEN = "threads and queues between them"


class Meter:
    """Count the processor time of the calling thread in nested functions, each without those inside it."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._inside = threading.local()

    def wrap(self, function: Callable[..., Any], stage: Callable[..., str]) -> Callable[..., Any]:
        """Return `function` with its time counted for the stage that `stage` names of its arguments."""

        def measured(*args: Any, **options: Any) -> Any:
            inside = self._inside.__dict__.setdefault("stack", [])
            inside.append(0.0)
            started = time.thread_time()
            try:
                return function(*args, **options)
            finally:
                spent = time.thread_time() - started
                self.seconds[stage(*args)] += spent - inside.pop()
                if inside:
                    inside[-1] += spent

        return measured


def main() -> None:
    """Measure the trees in turns and write docs/results/stages."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--before", type=Path, help="folder `src` of an earlier tree")
    parser.add_argument("--images", type=int, default=96, help="in all, as many from each folder")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--one", action="store_true", help="measure this process alone and print JSON")
    args = parser.parse_args()
    paths = chosen(args.folders, args.images)
    if args.one:
        print(json.dumps(measure(paths)))
        return
    load = os.getloadavg()[0]
    trees = {"before": args.before, "now": ROOT / "src"} if args.before else {"now": ROOT / "src"}
    rounds: dict[str, list[dict[str, float]]] = {name: [] for name in trees}
    for number in range(args.rounds):
        for name, tree in trees.items():
            rounds[name].append(in_a_process(tree, args))
            print(f"round {number + 1}, {name}: {sum(rounds[name][-1].values()):.1f} ms an image", flush=True)
    report(rounds, len(paths), args, load)


def chosen(folders: list[Path], count: int) -> list[Path]:
    """Choose about `count` images, the same at each call, as many from each folder."""
    found = []
    for folder in folders:
        files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in {".jpg", ".jpeg", ".png", ".dcm"})
        found += random.Random(0).sample(files, min(len(files), -(-count // len(folders))))
    return found[:count]


def in_a_process(tree: Path, args: argparse.Namespace) -> dict[str, float]:
    """Measure one tree in a new process."""
    environment = {**os.environ, "PYTHONPATH": f"{tree}{os.pathsep}{ROOT}", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "benchmarks.stages", *map(str, args.folders), "--images", str(args.images)]
    output = subprocess.run([*command, "--one"], env=environment, capture_output=True, check=True, text=True).stdout
    result: dict[str, float] = json.loads(output)
    return result


def measure(paths: list[Path]) -> dict[str, float]:
    """Classify the images once to warm up and once measured; return milliseconds per image by stage."""
    from covid_xray.inference.predictor import Predictor

    predictor = Predictor(threads=1)
    list(predictor.predict_many(paths, workers=1))
    meter = Meter()
    attach(meter)
    started = time.process_time()
    list(predictor.predict_many(paths, workers=1))
    whole = time.process_time() - started
    seconds = {stage: meter.seconds.get(stage, 0.0) for stage in STAGES}
    seconds[BETWEEN] = max(0.0, whole - sum(seconds.values()))
    return {stage: 1000 * spent / len(paths) for stage, spent in seconds.items()}


def attach(meter: Meter) -> None:
    """Wrap the functions of the stages, and the runs of ONNX Runtime by what they compute."""
    import onnxruntime

    for stage, functions in STAGES.items():
        for module, name in functions:
            *outer, last = name.split(".")
            try:
                owner = functools.reduce(getattr, outer, importlib.import_module(f"{INFERENCE}.{module}"))
                wrapped = getattr(owner, last)
            except (ImportError, AttributeError):
                continue
            setattr(owner, last, meter.wrap(wrapped, lambda *_, stage=stage: stage))
    session = onnxruntime.InferenceSession
    session.run = meter.wrap(session.run, lambda _, names, *__: "lung network" if "lungs" in names else "classifier")


def report(rounds: dict[str, list[dict[str, float]]], count: int, args: argparse.Namespace, load: float) -> None:
    """Write the page."""
    stages = [*STAGES, BETWEEN]
    milliseconds = {name: {stage: median(turn[stage] for turn in turns) for stage in stages}
                    for name, turns in rounds.items()}  # fmt: skip
    whole = {name: median(sum(turn.values()) for turn in turns) for name, turns in rounds.items()}
    rows = [[stage, *(f"{milliseconds[name][stage]:.2f}" for name in rounds)] for stage in stages]
    rows.append(["all", *(f"{whole[name]:.1f}" for name in rounds)])
    bare = {name: parts["lung network"] + parts["classifier"] for name, parts in milliseconds.items()}
    shares = "; ".join(f"{name} {whole[name] / bare[name]:.2f}" for name in rounds)
    text = (
        f"Milliseconds of one processor core for each image: {count} images of {len(args.folders)} collections, "
        f"one thread, medians of {args.rounds} rounds in turns.\n\n{markdown_table(['stage', *rounds], rows)}\n\n"
        f"The whole answer as a multiple of its two networks: {shares}."
    )
    if args.before:
        faster = median(sum(a.values()) / sum(b.values()) for a, b in zip(rounds["before"], rounds["now"], strict=True))
        text += f" Before by now: {faster:.2f}."
    text += "\n\n![Flame graph of the same prediction](stages.svg)"
    before = " --before SRC" if args.before else ""
    command = f"python -m benchmarks.stages FOLDER ...{before} --images {args.images} --rounds {args.rounds}"
    result = {"images": count, "milliseconds": milliseconds, "whole": whole, "rounds": rounds, "load_before": load}
    write_results("stages", result, text, title="Stages of a batch prediction", command=command, note=load_note(load))


if __name__ == "__main__":
    main()
