"""Test whether the heat maps of a bundle mean anything (Adebayo, Petsiuk, Arun), using ONNX alone."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from covid_xray.bundle.bundle import Bundle
from covid_xray.errors import InputRefused
from covid_xray.evaluation.audit.class_maps import Network, occlusion, probabilities, random_maps, split_network
from covid_xray.evaluation.audit.faithfulness import curves, inside
from covid_xray.evaluation.audit.map_similarity import mean_of, spearman, ssim
from covid_xray.evaluation.audit.masked_images import MaskedImages
from covid_xray.evaluation.audit.network_graph import Layer, group_layers
from covid_xray.evaluation.metrics.metrics import mean_of_defined
from covid_xray.inference.predictor import Predictor

Floats = NDArray[np.float32]
Groups = NDArray[np.str_] | None
Facts = dict[str, Any]
Progress = Callable[[int, int], None]

DEEP = 12  # networks with more layers are made random in so many groups of neighbours
HALF = 0.5  # a map that still agrees this well with a random network's does not depend on what was learnt
SHOWN = {
    "gradcam": "Grad-CAM",
    "gradcam_plus_plus": "Grad-CAM++",
    "occlusion": "occlusion",
    "random": "a random map",
}


@dataclass(frozen=True, eq=False)
class MapStudy:
    """Images, patients and bootstrap settings of the heat map study."""

    scenes: MaskedImages  # N images
    mean: NDArray[np.uint8]  # h x w uint8, the mean picture of the study
    groups: Groups  # N patients, or `None`
    rounds: int = 1000  # of the bootstrap, and the seed of random weights
    seed: int = 0

    def mean_of(self, values: Any) -> Facts:
        """Return the mean with its interval over patients."""
        found = mean_of(np.asarray(values, dtype=np.float64), groups=self.groups, rounds=self.rounds, seed=self.seed)
        return dict(found)


def heatmap_study(
    predictor: Predictor, model: bytes, looked: MapStudy, *, others: Sequence[Bundle] = (),
    progress: Progress | None = None,
) -> Facts:  # fmt: skip
    """Return the content of audit.json under `heatmaps`.

    Args:
        predictor, model: of the bundle; the bytes of its `model.onnx`.
        looked: the images.
        others: bundles of the same classes and input, such as other seeds.
        progress: called with (checks done, checks in all).

    Raises:
        InputRefused: an unknown head (code `unknown-head`), or `others` that do not fit.
    """
    pixels = looked.scenes.pixels
    network, features = split_network(predictor, model, pixels)
    codes = probabilities(predictor, pixels).argmax(axis=1)
    own = network.maps(features, codes)
    steps = group_layers(network.graph.layers, count=DEEP)[::-1]
    tell = _counter(progress, len(steps) + len(SHOWN))
    cascade = _cascade(network, own, features, codes, looked, steps, tell)
    maps = {
        "gradcam": own,
        "gradcam_plus_plus": network.maps(features, codes, plus_plus=True),
        "occlusion": np.stack(
            [occlusion(predictor, one, int(code), looked.mean) for one, code in zip(pixels, codes, strict=True)]
        ),
        "random": random_maps(len(pixels), seed=looked.seed),
    }
    methods = _methods(predictor, maps, codes, looked, tell)
    return {
        "images": len(pixels),
        "without_evidence": int((own.max(axis=(1, 2)) <= 0).sum()),
        "cascade": cascade,
        "methods": methods,
        "faithful": _describe_methods(methods),
        "seeds": _seeds(predictor, own, codes, others, looked) if others else None,
    }


def _cascade(
    network: Network, own: Floats, features: Floats, codes: NDArray[np.int64], looked: MapStudy,
    steps: Sequence[tuple[Layer, ...]], tell: Callable[[], None],
) -> Facts:  # fmt: skip
    """Run the cascading randomisation (Adebayo and others 2018): from the output down, each layer stays random."""
    rows: list[Facts] = []
    random: list[Layer] = []
    for group in steps:
        random += group
        weights = network.graph.randomised(random, seed=looked.seed)
        if any(network.graph.below_head(layer) for layer in group):
            features = network.graph.runner(weights).features(looked.scenes.pixels)
        maps = network.maps(features, codes, weights=weights)
        rows.append({"layer": group[0].name, **_map_agreement(own, maps, looked)})
        tell()
    unrelated = _map_agreement(own, np.roll(own, 1, axis=0), looked)
    last = rows[-1]["spearman"]
    changes = last["ci_high"] is not None and last["ci_high"] < HALF
    words = "the map changes, as it should" if changes else "THE MAP HARDLY CHANGES: it does not depend on training"
    return {
        "steps": rows,
        "unrelated": unrelated,
        "changes": changes,
        "line": f"{words} (Spearman {last['value']:.2f} with every layer random, {rows[0]['spearman']['value']:.2f} "
        f"with the last one; two different images of the trained network {unrelated['spearman']['value']:.2f}).",
    }


def _map_agreement(first: Floats, second: Floats, looked: MapStudy) -> Facts:
    """Return the agreement of N pairs of maps; a pair whose first map has no evidence is left out."""
    evidence = first.max(axis=(1, 2)) > 0
    found = {}
    for name, measure in (("spearman", spearman), ("ssim", ssim)):
        values = [measure(a, b) if has else np.nan for a, b, has in zip(first, second, evidence, strict=True)]
        found[name] = looked.mean_of(values)
    return found


def _methods(
    predictor: Predictor, maps: dict[str, Floats], codes: NDArray[np.int64], looked: MapStudy, tell: Callable[[], None]
) -> list[Facts]:
    """Measure each kind of map: mass in the lungs, insertion, deletion, and the gain over a random map."""
    areas, rows = {}, []
    for name in [*maps][::-1]:  # the random map first: the others are held against it
        found = curves(
            lambda pictures: probabilities(predictor, pictures), looked.scenes.pixels, maps[name], codes,
            mean=looked.mean, seed=looked.seed,
        )  # fmt: skip
        areas[name] = found.areas
        gain = [areas[name][0] - areas["random"][0], areas["random"][1] - areas[name][1]]
        share, times = inside(maps[name], looked.scenes.lungs)
        rows.append(
            {
                "name": name,
                "shows": SHOWN[name],
                "lung_share": looked.mean_of(share),
                "lung_ratio": looked.mean_of(times),
                "insertion": looked.mean_of(areas[name][0]),
                "deletion": looked.mean_of(areas[name][1]),
                "insertion_gain": looked.mean_of(gain[0]),
                "deletion_gain": looked.mean_of(gain[1]),
                "curves": {
                    "insertion": found.insertion.mean(axis=0, dtype=np.float64).tolist(),
                    "deletion": found.deletion.mean(axis=0, dtype=np.float64).tolist(),
                },
            }
        )
        tell()
    return rows[::-1]


def _describe_methods(methods: Sequence[Facts]) -> str:
    """Say which maps are more faithful than a random map."""
    said = []
    for row in methods:
        if row["name"] != "random":
            better = [kind for kind in ("insertion", "deletion") if (row[f"{kind}_gain"]["ci_low"] or 0) > 0]
            how = " and ".join(better) if better else "neither"
            said.append(f"{row['shows']}: {how}")
    return f"Better than a random map, with the whole interval, by: {'; '.join(said)}."


def _seeds(
    predictor: Predictor, own: Floats, codes: NDArray[np.int64], others: Sequence[Bundle], looked: MapStudy
) -> Facts:
    """Return the agreement of the Grad-CAM maps of several networks for the class that the first one predicts."""
    maps = [own]
    for bundle in others:
        mine = predictor.bundle
        if (bundle.classes, bundle.height, bundle.width) != (mine.classes, mine.height, mine.width):
            raise InputRefused(
                f"Another network has the classes {', '.join(bundle.classes)} and the input {bundle.height} x "
                f"{bundle.width}. Give networks of {', '.join(mine.classes)} and {mine.height} x {mine.width}."
            )
        output = Predictor(bundle).run(looked.scenes.pixels, class_maps=True)
        maps.append(output["class_maps"][np.arange(len(codes)), codes])
    pairs = [(a, b) for number, a in enumerate(maps) for b in maps[:number]]
    found = {}
    for name, measure in (("spearman", spearman), ("ssim", ssim)):
        values = np.array([[measure(x, y) for x, y in zip(a, b, strict=True)] for a, b in pairs])
        found[name] = looked.mean_of(mean_of_defined(values))
    return {"networks": len(maps), **found}


def _counter(progress: Progress | None, total: int) -> Callable[[], None]:
    done = 0

    def tell() -> None:
        nonlocal done
        done += 1
        if progress:
            progress(done, total)

    return tell
