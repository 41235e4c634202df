"""Passes over a part: label and prediction always of the same image."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("keras")
from covid_xray.config import Training
from covid_xray.data.manifest.manifest import read_manifest
from covid_xray.training import batches, epochs
from covid_xray.training.cache import PixelCache, build_cache
from covid_xray.training.epochs import Run, part_of, run_epochs
from covid_xray.training.network import build_model
from support.datasets import CLASSES, draw_folders


def test_validation_pairs_each_label_with_its_own_image(tmp_path: Path) -> None:
    """A model that answers by looking the pixels up is right for every image, in whatever order they come."""
    manifest = read_manifest(draw_folders(tmp_path / "data", each=8))
    cache = build_cache(manifest, folder=tmp_path / "cache", height=32, width=32)
    labels = np.array([CLASSES.index(label) for label in manifest.table["label"]])
    answers = {cache.pixels[cache.row[i]].tobytes(): y for i, y in zip(manifest.table["image"], labels, strict=True)}

    class Perfect:
        def predict_on_batch(self, x: np.ndarray) -> np.ndarray:
            return np.eye(3)[[answers[image.astype(np.uint8).tobytes()] for image in x]]

    shuffled = np.random.default_rng(0).permutation(len(labels))
    images = tuple(manifest.table["image"].iloc[i] for i in shuffled)
    part = batches.Part(images, labels[shuffled], CLASSES, cache, labels[shuffled])
    loss, accuracy, f1 = epochs.validate(Perfect(), part, batch_size=7)
    assert (round(loss, 6), accuracy, f1) == (0, 1, 1)


def test_means_are_over_images_not_batches() -> None:
    """17 images in batches of 8: the last batch holds one image and counts as one."""
    pixels = np.arange(17, dtype=np.uint8)[:, None, None].repeat(8, 1).repeat(8, 2)
    images = tuple(f"{i}.png" for i in range(17))
    cache = PixelCache(pixels, {im: i for i, im in enumerate(images)})
    part = batches.Part(images, np.arange(17) % 3, CLASSES, cache, np.arange(17) % 3)

    class Counting:
        def reset_metrics(self) -> None: ...

        def train_on_batch(self, x: np.ndarray, y: np.ndarray, **_: object) -> dict[str, float]:
            return {"loss": float(x.mean()), "accuracy": float(y[:, 0].mean())}

    settings = Training(batch_size=8, augment=False)
    steps: list[tuple[int, int]] = []
    watch = lambda step, total, note: steps.append((step, total))  # noqa: E731
    logs = epochs.train_epoch(Counting(), part, settings=settings, epoch=1, watch=watch)
    assert logs["loss"] == pytest.approx(8.0)
    assert logs["accuracy"] == pytest.approx(6 / 17)
    assert steps == [(1, 3), (2, 3)]


def test_a_part_holds_its_own_images_with_the_numbers_of_their_classes(tmp_path: Path) -> None:
    manifest = read_manifest(draw_folders(tmp_path, each=4))
    names = list(manifest.table["image"])
    split = pd.Series(["train" if number % 3 else "val" for number in range(len(names))], index=names)
    shuffled = split.sample(frac=1, random_state=1)  # rows of a split come in any order
    cache = PixelCache(np.zeros((len(names), 8, 8), np.uint8), {name: row for row, name in enumerate(names)})
    for part in ("train", "val"):
        found = part_of(manifest, shuffled, part, cache)
        assert list(found.images) == [name for name in names if split[name] == part]
        assert [CLASSES[code] for code in found.labels] == [name.split("/")[0] for name in found.images]
        assert found.classes == tuple(sorted(CLASSES))
        assert found.cache is cache
        assert len(found.groups) == len(found)


def test_layers_are_unfrozen_in_their_epoch_also_after_a_stop(tmp_path: Path) -> None:
    """Each stage has an optimiser of its own; a run that was stopped in the first ends as the undisturbed one."""
    random = np.random.default_rng(0)
    pixels, labels = random.integers(0, 255, (6, 32, 32), dtype=np.uint8), np.arange(6) % 3
    images = tuple(f"{number}.png" for number in range(6))
    part = batches.Part(images, labels, CLASSES, PixelCache(pixels, {im: i for i, im in enumerate(images)}), labels)
    settings = Training(
        image_size=32, blocks=(2, 2), convolutions=1, dense=(), augment=False, precision="float32", deterministic=True,
        freeze=("block",), unfreeze={2: ("block2",)}, layer_rates={"block2": 0.1}, optimizer="adamw", weight_decay=0.1,
    )  # fmt: skip
    said: list[tuple[str, str]] = []

    def weights(folder: str, epochs: int) -> list[np.ndarray]:
        chosen = settings.model_copy(update={"epochs": epochs})
        (tmp_path / folder).mkdir(exist_ok=True)
        note = lambda stage, done, total, text: said.append((stage, text))  # noqa: E731
        run = Run(chosen, tmp_path / folder, build_model(chosen, 3), part, part, "the same", note)
        run_epochs(run)
        return [layer.get_weights()[0] for layer in run.model.layers if layer.get_weights()]

    begun = [layer.get_weights()[0] for layer in build_model(settings, 3).layers if layer.get_weights()]
    first, whole, resumed = weights("a", 1), weights("b", 2), weights("a", 2)
    changed = [[not np.array_equal(x, y) for x, y in zip(begun, then, strict=True)] for then in (first, whole)]
    assert changed == [[False, False, True], [False, True, True]]
    for undisturbed, stopped in zip(whole, resumed, strict=True):
        np.testing.assert_array_equal(undisturbed, stopped)
    assert ("layers", "from epoch 2 on 47 of 103 weights are trained") in said
