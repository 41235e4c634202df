"""Train the lung network on radiographs and lung masks, and measure it on held-out patients.

run folder: lungs.onnx lungs.json split.csv history.csv
"""

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import cv2
import keras
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from covid_xray.bundle.lung_network import LUNGS_FILE, LUNGS_VERSION, MARGIN
from covid_xray.config import LungTraining
from covid_xray.data.manifest.manifest import Manifest
from covid_xray.data.split.split import write_split
from covid_xray.errors import BadManifest, UsageError
from covid_xray.files import folder_lock, replacing, sha256_bytes, write_json, write_text
from covid_xray.images.decode import decode
from covid_xray.images.pixels import to_input
from covid_xray.inference.lungs import LungFinder
from covid_xray.models import lung_unet
from covid_xray.training.augmentation import change
from covid_xray.training.batches import affine
from covid_xray.training.finish_run import describe_data
from covid_xray.training.onnx.enlarge import with_resize
from covid_xray.training.onnx.export import to_onnx
from covid_xray.training.onnx.storage import half_precision

Progress = Callable[[str, int, int, str], None]
Pixels = NDArray[np.uint8]


def train_lungs(
    manifest: Manifest,
    masks: Mapping[str, Path],
    split: pd.Series,
    *,
    settings: LungTraining,
    out: Path,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Train the U-Net on the part `train` and measure it on `test`; the run folder `out` is written at the end.

    Args:
        manifest: the images that have a mask.
        masks: image -> PNG of the same shape, lungs above half of white.
        split: image -> train or test, no patient in both parts.
        settings: of the network and its training.
        out: a new folder.
        progress: called as (stage, done, total, note).

    Returns:
        The content of lungs.json: Dice and intersection over union on the test part, for each image and in the mean.

    Raises:
        UsageError: `out` holds a run.
        BadManifest: an image without a mask, or a mask of another shape.
    """
    progress = progress or (lambda *_: None)
    if (out / "lungs.json").exists():
        raise UsageError(f"{out} already holds a lung network. Name a new folder.")
    with folder_lock(out):
        pixels, truth = _read(manifest, masks, size=settings.image_size, progress=progress)
        part = split.reindex(manifest.table["image"]).to_numpy()
        chosen, held = np.flatnonzero(part == "train"), np.flatnonzero(part == "test")
        model = _fit(pixels[chosen], truth[chosen], settings=settings, out=out, progress=progress)
        data = _export(model)
        facts = {
            **_describe(data, settings),
            "images": {"train": len(chosen), "test": len(held)},
            "training_data": describe_data(manifest, split),
            "test": _measure(data, manifest.take(part == "test"), masks, size=settings.image_size),
        }
        write_split(out / "split.csv", split, manifest)
        with replacing(out / LUNGS_FILE) as temporary:
            temporary.write_bytes(data)
        write_json(out / "lungs.json", facts)
        return facts


def _export(model: keras.Model) -> bytes:
    named = keras.Model(model.input, {"lungs": model.output})
    return half_precision(with_resize(to_onnx(named, inputs=("image",), outputs=("lungs",))))


def _describe(data: bytes, settings: LungTraining) -> dict[str, Any]:
    return {
        "image_size": settings.image_size,
        "margin": MARGIN,
        "version": LUNGS_VERSION,
        "settings": settings.model_dump(mode="json"),
        "sha256": sha256_bytes(data),
        "bytes": len(data),
    }


def _read(manifest: Manifest, masks: Mapping[str, Path], *, size: int, progress: Progress) -> tuple[Pixels, Pixels]:
    images = list(manifest.table["image"])
    pixels = np.empty((len(images), size, size), np.uint8)
    truth = np.empty_like(pixels)
    for i, image in enumerate(images):
        if image not in masks:
            raise BadManifest(f"No lung mask for {image}. Every image needs one.")
        radiograph = decode(manifest.path(image))
        mask = read_mask(masks[image])
        if mask.shape != radiograph.pixels.shape:
            raise BadManifest(
                f"The mask of {image} has the size {mask.shape}, the image {radiograph.pixels.shape}. They must agree."
            )
        pixels[i] = to_input(radiograph, height=size, width=size)
        truth[i] = np.asarray(
            Image.fromarray(mask.astype(np.uint8) * 255).resize((size, size), Image.Resampling.BILINEAR)
        )
        progress("decode", i + 1, len(images), "")
    return pixels, truth


def read_mask(path: Path) -> NDArray[np.bool_]:
    """Read a mask picture as H x W bool: True where it is brighter than half of white."""
    with Image.open(path, formats=("PNG",)) as picture:
        return np.asarray(picture.convert("L")) > 127


def _fit(pixels: Pixels, truth: Pixels, *, settings: LungTraining, out: Path, progress: Progress) -> keras.Model:
    keras.utils.set_random_seed(settings.seed)
    model = lung_unet.build(settings.image_size)
    steps = -(-len(pixels) // settings.batch_size)
    rate = keras.optimizers.schedules.CosineDecay(settings.learning_rate, steps * settings.epochs)
    model.compile(optimizer=keras.optimizers.Adam(rate), loss=_loss)
    rows = []
    for epoch in range(1, settings.epochs + 1):
        losses = [float(model.train_on_batch(x, y)) for x, y in _batches(pixels, truth, settings=settings, epoch=epoch)]
        rows.append((epoch, float(np.mean(losses))))
        progress("lungs", epoch, settings.epochs, f"loss {rows[-1][1]:.3f}")
    _settle(model, pixels, settings.batch_size)
    text = io.StringIO()
    csv.writer(text).writerows([("epoch", "loss"), *rows])
    write_text(out / "history.csv", text.getvalue())
    return model


def _loss(truth: Any, predicted: Any) -> Any:
    """Compute cross-entropy plus 1 - Dice of each picture (Milletari and others 2016): good edges, no empty masks."""
    ops = keras.ops
    entropy = ops.mean(keras.losses.binary_crossentropy(truth, predicted))
    both = ops.sum(truth * predicted, axis=(1, 2, 3))
    dice = (2 * both + 1) / (ops.sum(truth + predicted, axis=(1, 2, 3)) + 1)
    return entropy + 1 - ops.mean(dice)


def _batches(
    pixels: Pixels, truth: Pixels, *, settings: LungTraining, epoch: int
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    order = np.random.default_rng((settings.seed, epoch)).permutation(len(pixels))
    half = settings.image_size // 2
    for start in range(0, len(order), settings.batch_size):
        xs, ys = [], []
        for i in order[start : start + settings.batch_size].tolist():
            x, y = _augment(pixels[i], truth[i], settings, np.random.default_rng((settings.seed, epoch, i)))
            xs.append(x)
            ys.append(cv2.resize(y, (half, half), interpolation=cv2.INTER_AREA))
        yield np.stack(xs)[..., None].astype(np.float32), np.stack(ys)[..., None].astype(np.float32) / np.float32(255)


def _augment(x: Pixels, y: Pixels, settings: LungTraining, random: np.random.Generator) -> tuple[Pixels, Pixels]:
    """Transform picture and mask by the same random geometry, then change the look of the picture."""
    matrix = affine(settings.augmentation, random, x.shape)
    # Width and height change on their own: archives squeeze pictures, and children's chests are wider than high.
    stretch = np.exp(random.uniform(-settings.stretch, settings.stretch, 2))
    centre = (np.array(x.shape[::-1]) - 1) / 2
    matrix[:, :2] *= stretch[:, None]
    matrix[:, 2] = (matrix[:, 2] - centre) * stretch + centre
    size = x.shape[::-1]
    # What lies outside a radiograph is black, in the picture and in the mask.
    x = cv2.warpAffine(x, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    y = cv2.warpAffine(y, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    if random.random() < 0.5:  # the heart's side matters for a diagnosis, not for finding lungs
        x, y = x[:, ::-1], y[:, ::-1]
    return change(np.ascontiguousarray(x), settings.appearance, random), np.ascontiguousarray(y)


def _settle(model: keras.Model, pixels: Pixels, batch: int) -> None:
    """Compute the statistics of batch normalisation anew from unaugmented pictures, as they are in use."""
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    count = -(-len(pixels) // batch)
    for step in range(count):
        for layer in norms:
            layer.momentum = step / (step + 1)  # a plain mean over the batches
        model(pixels[step::count, ..., None].astype(np.float32), training=True)


def _measure(data: bytes, manifest: Manifest, masks: Mapping[str, Path], *, size: int) -> dict[str, Any]:
    finder = LungFinder(data, size=size)
    scores = {}
    for image in manifest.table["image"]:
        truth = read_mask(masks[image])
        found = finder.find(decode(manifest.path(image)))
        mask = found.at_size(*truth.shape)
        both = float((mask & truth).sum())
        scores[image] = {"dice": 2 * both / float(mask.sum() + truth.sum()), "iou": both / float((mask | truth).sum()),
                         "plausible": found.plausible}  # fmt: skip
    dice = np.array([score["dice"] for score in scores.values()])
    return {
        "dice_mean": float(dice.mean()),
        "dice_median": float(np.median(dice)),
        "dice_least": float(dice.min()),
        "iou_mean": float(np.mean([score["iou"] for score in scores.values()])),
        "implausible": sum(not score["plausible"] for score in scores.values()),
        "images": json.loads(json.dumps(scores)),
    }
