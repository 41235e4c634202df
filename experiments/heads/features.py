"""Compute the embeddings that experiments/heads/linear_heads.py fits its heads on, one file for each view.

    python -m experiments.heads.features --data FOLDER --views VIEWS [NAME...]

VIEWS holds the pictures that experiments/network_grid.py writes (VIEWS/whole.npy and so on). Each embedding is saved as
VIEWS/features/NAME.npy, N x D float32, in the order of `network_grid.study`. A file that exists is not computed again.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from covid_xray.config import Appearance, Training, load
from covid_xray.training.augmentation import change
from covid_xray.training.batches import augment
from covid_xray.training.head.nuisance_projection import without_corners

BATCH = 32
RECIPE = Path("runs/default.yaml")
STAGES = ("block05_add", "block08_add", "block11_add", "block15_add", "block16_project_norm", "head_relu")
POWER = 3.0  # of the generalised mean (Radenovic and others 2019, arXiv:1711.02512)
COPIES = 4
Change = Callable[[np.ndarray, int], np.ndarray]


def as_it_is(pixels: np.ndarray, row: int) -> np.ndarray:
    """Return the picture unchanged."""
    return pixels


def mirrored(pixels: np.ndarray, row: int) -> np.ndarray:
    """Mirror left to right."""
    return pixels[:, ::-1]


def altered(pixels: np.ndarray, row: int, *, copy: int, settings: Training) -> np.ndarray:
    """Alter as training does: rotate, relight, and imitate another archive's style."""
    seed = (settings.seed, copy, row)
    return change(augment(pixels, settings.augmentation, seed), settings.appearance, np.random.default_rng((*seed, 1)))


def clahe(pixels: np.ndarray, row: int) -> np.ndarray:
    """Apply contrast limited adaptive histogram equalisation, 8 x 8 tiles."""
    return cv2.createCLAHE(clipLimit=2.0, tileGridSize=(8, 8)).apply(pixels)


def equalised(pixels: np.ndarray, row: int) -> np.ndarray:
    """Equalise the histogram of the whole picture."""
    return cv2.equalizeHist(pixels)


def standardised(pixels: np.ndarray, row: int) -> np.ndarray:
    """Scale grey values to mean 115 and standard deviation 55 in the middle 70 % of the picture."""
    edge = round(0.15 * len(pixels))
    middle = pixels[edge:-edge, edge:-edge].astype(np.float32)
    return np.clip((pixels - middle.mean()) / max(middle.std(), 4) * 55 + 115, 0, 255).astype(np.uint8)


def cornered(pixels: np.ndarray, row: int) -> np.ndarray:
    """Paint the four corners black."""
    return without_corners(pixels[None])[0]


def changes() -> dict[str, tuple[str, Change]]:
    """Map names to a view and the change applied before the network."""
    recipe = load(Training, file=RECIPE)
    strong = recipe.model_copy(update={"appearance": Appearance(probability=0.7)})
    found: dict[str, tuple[str, Change]] = {"whole": ("whole", as_it_is), "whole_hidden": ("whole_hidden", as_it_is)}
    for copy in range(COPIES):
        found[f"altered_{copy}"] = "whole", partial(altered, copy=copy, settings=recipe)
    for copy in range(2):
        found[f"strong_{copy}"] = "whole", partial(altered, copy=copy, settings=strong)
    for name, step in {"mirror": mirrored, "clahe": clahe, "equalised": equalised, "standard": standardised}.items():
        found[name], found[f"{name}_hidden"] = ("whole", step), ("whole_hidden", step)
    found["corners"] = "whole", cornered
    return found | {name: (name, as_it_is) for name in ("crop", "only", "crop_hidden")}


def embed(pixels: np.ndarray, step: Change, network: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Compute N x D embeddings, batch by batch."""
    parts = []
    for start in range(0, len(pixels), BATCH):
        rows = range(start, min(start + BATCH, len(pixels)))
        x = np.stack([step(np.asarray(pixels[row]), row) for row in rows])
        parts.append(network(x[..., None].astype(np.float32)))
    return np.concatenate(parts).astype(np.float32)


def shipped(threads: int) -> Callable[[np.ndarray], np.ndarray]:
    """Return the embedding function of the bundle that ships: ImageNet's EfficientNet-Lite0."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    path = "src/covid_xray/bundle/default/model.onnx"
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda x: np.asarray(session.run(["embedding"], {name: x})[0])


def imagenet(side: int, *, stages: bool = False) -> Callable[[np.ndarray], np.ndarray]:
    """Return the same network in Keras at another size; `stages`: mean and generalised mean of six stages."""
    import keras

    from covid_xray.models import zoo

    settings = Training(model="efficientnet_lite0", weights="imagenet", image_size=side)
    model = zoo.build(settings, 3)
    if not stages:
        trunk = keras.Model(model.input, model.get_layer("pool").output)
        return lambda x: np.asarray(trunk.predict_on_batch(x))
    trunk = keras.Model(model.input, [model.get_layer(name).output for name in STAGES])

    def both(x: np.ndarray) -> np.ndarray:
        maps = [np.asarray(m) for m in trunk.predict_on_batch(x)]
        means = [m.mean(axis=(1, 2)) for m in maps]
        peaks = [(np.maximum(m, 0) ** POWER).mean(axis=(1, 2)) ** (1 / POWER) for m in maps]
        return np.concatenate(means + peaks, axis=1)

    return both


def larger(data: Path, images: list[str], side: int) -> Iterator[np.ndarray]:
    """Yield the radiographs at side x side."""
    from covid_xray.images.decode import decode
    from covid_xray.images.pixels import to_input

    return (to_input(decode(data / image), height=side, width=side) for image in images)


def main() -> None:
    """Write VIEWS/features/NAME.npy."""
    known = changes()
    sizes = {f"size_{side}": side for side in (256, 288)}
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", default=[*known, "stages", "stages_hidden", *sizes])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--views", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--duplicates", type=Path, default=Path("docs/results/cxr-duplicates.csv"))
    chosen = parser.parse_args()
    folder = chosen.views / "features"
    folder.mkdir(exist_ok=True)
    for name in chosen.names:
        path, started = folder / f"{name}.npy", time.time()
        if path.exists():
            continue
        if name in known:
            view, step = known[name]
            found = embed(_pixels(chosen.views, view), step, shipped(chosen.threads))
        elif name in sizes:
            found = _at(sizes[name], chosen)
        else:
            view = "whole_hidden" if name.endswith("hidden") else "whole"
            found = embed(_pixels(chosen.views, view), as_it_is, imagenet(224, stages=True))
        np.save(path, found)
        print(f"{name} {found.shape} {time.time() - started:.0f} s", flush=True)


def _pixels(views: Path, name: str) -> Any:
    return np.load(views / f"{name}.npy", mmap_mode="r")


def _at(side: int, chosen: argparse.Namespace) -> np.ndarray:
    from experiments.network_grid import study

    images = study(chosen.data, chosen.duplicates)["image"].tolist()
    pixels = np.stack(list(larger(chosen.data, images, side)))
    return embed(pixels, as_it_is, imagenet(side))


if __name__ == "__main__":
    main()
