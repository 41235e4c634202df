"""Draw docs/images/architecture.svg: the floors of the house, and the way of one image and one training run through them.

python scripts/draw_architecture.py [-o docs/images/architecture.svg]
"""

import argparse
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path as Line

PAGE = Path(__file__).parent.parent / "docs" / "images" / "architecture.svg"
INK, FAINT, PAPER = "#1f2933", "#5b6773", "#ffffff"
BLUE, ORANGE = "#1b6ca8", "#b85c00"
TINTS = {BLUE: "#e4f0f9", ORANGE: "#fcecdc"}
# Floor: its rooms with a caption, and its height. Imports point down only.
FLOORS = [
    ("cli", [("cli/", "parse, call, print")], 1.05),
    ("services", [("serving/  pacs/  cluster/", "web page and API,\nDICOM node, archives")], 0.8),
    ("training", [("training/", "the only floor that\nruns TensorFlow")], 1.55),
    ("evaluation", [("evaluation/  store/", "figures and reports;\nstudies and images")], 1.05),
    ("inference", [("inference/  models/", "classify radiographs;\nbuild Keras networks")], 1.75),
    ("bundle", [("bundle/", "the one artefact")], 1.05),
    ("data", [("data/", "a table that one\ncan trust")], 1.05),
    ("images", [("images/", "decode into one\ngrey radiograph")], 1.05),
    ("ground", [("config  limits  files  errors", "used by every floor")], 0.62),
]
# Step: number, floor, column, files, what happens.
PREDICT = [
    (1, "cli", 0, ["predict_args.py", "predict_job.py"], "parse options"),
    (2, "bundle", 0, ["bundle.py", "schema.py"], "open, verify"),
    (3, "inference", 1, ["io/inputs.py", "predictor.py"], "list the inputs"),
    (4, "images", 1, ["decode.py", "radiograph.py"], "decode"),
    (
        5,
        "inference",
        2,
        ["view.py  lungs.py", "engines.py  gate.py", "prediction_sets.py", "finding.py"],
        "network, gate",
    ),
    (6, "cli", 2, ["terminal.py"], "print the finding"),
]
TRAIN = [
    (1, "cli", 0, ["training/train.py", "selection.py"], "settings, images"),
    (2, "data", 0, ["manifest/manifest.py", "split/split.py"], "check, split once"),
    (3, "training", 1, ["cache.py  batches.py", "network.py", "epochs.py", "onnx/export.py"], "train, export"),
    (4, "bundle", 1, ["bundle.py", "onnx_file.py"], "write the bundle"),
    (5, "evaluation", 2, ["calibrate.py", "gate/fit.py"], "fit thresholds"),
    (6, "training", 2, ["finish_run.py"], "record the run"),
    (7, "cli", 2, ["training/train.py"], "print next step"),
]
WIDTH, ROOM, COLUMN, BOX, GAP = 15.6, 2.45, 2.13, 1.8, 0.1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, default=PAGE)
    output = parser.parse_args().output
    mpl.rcParams.update({"svg.fonttype": "path", "svg.hashsalt": "covid-xray", "font.family": "DejaVu Sans"})
    tops, height = {}, 0.75
    for name, _, tall in FLOORS:
        tops[name] = (height, tall)
        height += tall + GAP
    figure = plt.figure(figsize=(WIDTH, height + 0.1), facecolor=PAPER)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, WIDTH), ylim=(height + 0.1, 0))
    axes.axis("off")
    for name, rooms, tall in FLOORS:
        floor(axes, rooms, tops[name][0], tall)
    lanes = [(ROOM + 0.25, PREDICT, BLUE, "One image: covid-xray predict chest.png"),
             (ROOM + 0.25 + 3 * COLUMN, TRAIN, ORANGE, "One training run: covid-xray train --data scans")]  # fmt: skip
    for left, steps, colour, title in lanes:
        axes.text(left + 0.08, 0.42, title, color=colour, fontsize=12.5, weight="bold", va="center")
        lane(axes, left, steps, colour, tops)
    axes.text(0.15, 0.42, "Rooms, floor by floor", color=INK, fontsize=12.5, weight="bold", va="center")
    figure.savefig(output, metadata={"Date": None})


def floor(axes: Any, rooms: list[tuple[str, str]], top: float, tall: float) -> None:
    """Draw the band of a floor with its rooms on the left."""
    band = FancyBboxPatch(
        (0.1, top), WIDTH - 0.2, tall, boxstyle="round,pad=0,rounding_size=0.08", fc="#f3f5f7", ec="none"
    )
    axes.add_patch(band)
    for name, caption in rooms:
        axes.text(0.22, top + 0.26, name, fontsize=11, weight="bold", color=INK, va="center")
        axes.text(0.22, top + 0.42, caption, fontsize=9, color=FAINT, va="top", linespacing=1.25)


def lane(axes: Any, left: float, steps: list[tuple], colour: str, tops: dict[str, tuple[float, float]]) -> None:
    """Draw the stops of one walk and the arrows between them."""
    boxes = [box(axes, left, step, colour, tops) for step in steps]
    for (x, top, bottom), (other, above, below) in pairwise(boxes):
        if x == other:
            points = [(x, bottom + 0.02), (x, above - 0.03)] if above > top else [(x, top - 0.02), (x, below + 0.03)]
        else:  # out at the right side, up between the columns, in at the left side
            right, gutter, middle = x + BOX / 2 + 0.02, x + COLUMN / 2, (above + below) / 2
            points = [(right, (top + bottom) / 2), (gutter, (top + bottom) / 2), (gutter, middle)]
            points.append((other - BOX / 2 - 0.03, middle))
        line = {"color": colour, "lw": 1.9, "mutation_scale": 14, "joinstyle": "round"}
        axes.add_patch(FancyArrowPatch(path=Line(points), arrowstyle="-|>", **line))


def box(axes: Any, left: float, step: tuple, colour: str, tops: dict[str, tuple[float, float]]) -> tuple[float, ...]:
    """Draw one stop; return its middle, top and bottom."""
    number, name, column, files, does = step
    band, tall = tops[name]
    needed = 0.36 + 0.2 * len(files)
    x, top = left + column * COLUMN, band + (tall - needed) / 2
    patch = FancyBboxPatch(
        (x + (COLUMN - BOX) / 2, top),
        BOX,
        needed,
        boxstyle="round,pad=0,rounding_size=0.07",
        fc=TINTS[colour],
        ec=colour,
        lw=1.1,
    )
    axes.add_patch(patch)
    axes.text(x + 0.36, top + 0.17, str(number), fontsize=10, weight="bold", color=PAPER, ha="center", va="center",
              bbox={"boxstyle": "circle,pad=0.22", "fc": colour, "ec": "none"}, zorder=5)  # fmt: skip
    axes.text(x + 0.54, top + 0.17, does, fontsize=9.2, color=colour, weight="bold", va="center")
    for place, file in enumerate(files):
        axes.text(
            x + 0.28, top + 0.41 + 0.2 * place, file, fontsize=9, family="DejaVu Sans Mono", color=INK, va="center"
        )
    return x + COLUMN / 2, top, top + needed


if __name__ == "__main__":
    main()
