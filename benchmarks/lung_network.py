"""Compare the lung network of a bundle with itself at smaller inputs and in int8: time, Dice, and the answers.

python -m benchmarks.lung_network FOLDER_OF_IMAGES ... [--bundle FOLDER] [--images 504]
"""

import argparse
import os
import time
from dataclasses import replace
from pathlib import Path
from statistics import mean, median

import numpy as np

from benchmarks._support.results import load_note, markdown_table, write_results
from benchmarks.stages import chosen
from covid_xray.bundle.bundle import load_bundle
from covid_xray.bundle.lung_network import LungNetwork
from covid_xray.errors import BadImage
from covid_xray.images.pixels import load_input
from covid_xray.inference.io.inputs import open_source
from covid_xray.inference.predictor import Predictor
from covid_xray.inference.view import View, Viewer
from covid_xray.limits import Limits
from covid_xray.training.onnx.quantise import quantise

AGREEMENT, LARGEST, DICE = 0.995, 0.01, 0.98  # a variant may replace the network that ships from these on
SMALLER = (160, 128)  # rows and columns of the input
CALIBRATION = 64  # images that int8 is calibrated on, none of those compared


def main() -> None:
    """Measure the variants in turns and write docs/results/lung_network."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--images", type=int, default=504)
    args = parser.parse_args()
    load, bundle = os.getloadavg()[0], load_bundle(args.bundle)
    paths = chosen(args.folders, args.images + CALIBRATION)
    calibration = paths[:: max(2, len(paths) // CALIBRATION)][:CALIBRATION]
    networks = variants(bundle.lungs, calibration)
    viewers = {
        name: Viewer(height=bundle.height, width=bundle.width, lungs=lungs, crop=bundle.crop)
        for name, lungs in networks.items()
    }
    compared = [path for path in paths if path not in set(calibration)]
    report(measure(Predictor(bundle, threads=1), viewers, compared), len(args.folders), args, load)


def variants(lungs: LungNetwork, images: list[Path]) -> dict[str, LungNetwork]:
    """Make the variants; the first one is the network as it is."""
    side = int(lungs.facts["image_size"])
    found = {f"{side} pixels, float32": lungs}
    for size in SMALLER:
        found[f"{size} pixels, float32"] = LungNetwork(
            resized(lungs.model, side, size), {**lungs.facts, "image_size": size}
        )
    pixels = np.stack([load_input(path, height=side, width=side) for path in images])
    return {**found, f"{side} pixels, int8": replace(lungs, model=quantise(lungs.model, pixels))}


def resized(model: bytes, side: int, size: int) -> bytes:
    """Change the size of the input: the network is made of convolutions, and two reshapes state its sizes."""
    import onnx
    from onnx import numpy_helper

    proto = onnx.load_from_string(model)
    sizes = {side: size, side // 2: size // 2}
    for tensor in proto.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype == np.int64 and set(values.tolist()) & set(sizes):
            changed = np.array([sizes.get(value, value) for value in values.tolist()])
            tensor.CopyFrom(numpy_helper.from_array(changed, tensor.name))
    for value in [*proto.graph.input, *proto.graph.output]:
        for dim in value.type.tensor_type.shape.dim:
            dim.dim_value = sizes.get(dim.dim_value, dim.dim_value) if dim.dim_value else 0
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    return bytes(proto.SerializeToString())


def measure(predictor: Predictor, viewers: dict[str, Viewer], paths: list[Path]) -> dict[str, list[tuple]]:
    """Return, by variant and image: milliseconds of the view, Dice with the first variant, same label, difference."""
    rows: dict[str, list[tuple]] = {name: [] for name in viewers}
    for path in paths:
        try:
            film = open_source(path, limits=Limits())
        except BadImage:
            continue
        seen = predictor.view(film)
        first: tuple[View, np.ndarray, str] | None = None
        for name, viewer in viewers.items():
            started = time.thread_time()
            view = viewer.view(film)
            spent = 1000 * (time.thread_time() - started)
            view = replace(view, look=seen.look)
            (answer,) = predictor.answers([""], [view])
            probabilities = np.array(list(answer.probabilities.values()))
            first = first or (view, probabilities, answer.label)
            masks = [one.lungs.at_size(96, 96) for one in (first[0], view)]
            dice = 2 * (masks[0] & masks[1]).sum() / max(1, masks[0].sum() + masks[1].sum())
            rows[name].append((spent, dice, answer.label == first[2], float(np.abs(probabilities - first[1]).max())))
    return rows


def report(rows: dict[str, list[tuple]], folders: int, args: argparse.Namespace, load: float) -> None:
    """Write the page."""
    result, cells = {}, []
    for name, found in rows.items():
        spent, dice, same, apart = (list(column) for column in zip(*found, strict=True))
        facts = {
            "milliseconds": median(spent),
            "dice": mean(dice),
            "same_label": mean(same),
            "difference_99": float(np.quantile(apart, 0.99)),
            "largest_difference": max(apart),
        }
        good = facts["dice"] >= DICE and facts["same_label"] >= AGREEMENT and facts["largest_difference"] <= LARGEST
        result[name] = {**facts, "qualifies": bool(good)}
        figures = (f"{facts['dice']:.4f}", f"{facts['same_label']:.1%}", f"{facts['difference_99']:.3f}")
        largest = f"{facts['largest_difference']:.3f}"
        cells.append([name, f"{facts['milliseconds']:.1f}", *figures, largest, "yes" if good else "no"])
    header = ["lung network", "ms of the network's input, lungs found", "Dice with the first", "same label",
              "difference of a probability, 99 % of images", "largest", "may replace it"]  # fmt: skip
    count = len(next(iter(rows.values())))
    text = (
        f"{count} radiographs of {folders} collections, one thread. A variant may replace the network where its Dice "
        f"with it is at least {DICE}, the label, cannot say included, the same in {AGREEMENT:.1%}, and no probability "
        f"differs by more than {LARGEST}.\n\n{markdown_table(header, cells)}"
    )
    write_results("lung_network", {"images": count, "variants": result, "load_before": load}, text,
                  title="The lung network at smaller inputs and in int8",
                  command=f"python -m benchmarks.lung_network FOLDER ... --images {args.images}",
                  note=load_note(load))  # fmt: skip


if __name__ == "__main__":
    main()
