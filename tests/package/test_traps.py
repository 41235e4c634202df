"""The traps that the original notebook fell into, each held shut by a test.

Its 41 % came from labels and predictions of two passes; its 99 % from a validation part that was trained on.
"""

import contextlib
import csv
import functools
import os
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from support.brightness import CLASSES, Brightness

pytest.importorskip("pandas")

from covid_xray.data.manifest.manifest import Manifest, read_manifest
from covid_xray.data.split.split import make_split
from covid_xray.evaluation.evaluate import evaluate
from covid_xray.images.pixels import load_input
from covid_xray.inference.finding import Finding
from covid_xray.training.cache import build_cache

EACH = 8


def picture(label: str, seed: int) -> Image.Image:
    """A picture that the `Brightness` predictor always names right: it is the perfect model of these tests."""
    noise = np.random.default_rng((CLASSES.index(label), seed)).integers(-9, 10, (24, 20))
    return Image.fromarray((60 + 60 * CLASSES.index(label) + noise).astype(np.uint8))


def folders(root: Path) -> Path:
    for label in CLASSES:
        for seed in range(EACH):
            (root / label).mkdir(parents=True, exist_ok=True)
            picture(label, seed).save(root / label / f"{random.Random(f'{label}{seed}').random():.6f}.png")
    return root


def parts(root: Path) -> Path:
    for label in CLASSES:
        for seed in range(EACH):
            folder = root / ("train", "train", "val", "test")[seed % 4] / label
            folder.mkdir(parents=True, exist_ok=True)
            picture(label, seed).save(folder / f"{label[0]}{seed}.png")
    return root


def table(root: Path, header: tuple[str, str], *, suffix: str = ".png", name: str = "train.csv") -> Path:
    """One folder of images whose names tell nothing, and a CSV in shuffled order."""
    rows = []
    for number, (label, seed) in enumerate((label, seed) for seed in range(EACH) for label in CLASSES):
        (root / "images").mkdir(parents=True, exist_ok=True)
        picture(label, seed).save(root / "images" / f"{number:03}.png")
        rows.append((f"{number:03}{suffix}", label))
    random.Random(1).shuffle(rows)
    with (root / name).open("w", newline="") as stream:
        csv.writer(stream).writerows([header, *rows])
    return root


LOADERS = {
    "class folders": lambda root: read_manifest(folders(root)),
    "train, val and test folders": lambda root: read_manifest(parts(root)),
    "the original's train.csv": lambda root: read_manifest(
        table(root, ("Image", "Label")) / "train.csv", images=root / "images"
    ),
    "names without extension": lambda root: read_manifest(
        table(root, ("Image", "Label"), suffix="") / "train.csv", images=root / "images"
    ),
    "our manifest": lambda root: read_manifest(
        table(root, ("image", "label"), name="manifest.csv"), images=root / "images"
    ),
}


@pytest.mark.parametrize("loader", LOADERS)
def test_a_perfect_model_scores_one_through_every_loader(loader: str, tmp_path: Path) -> None:
    manifest = LOADERS[loader](tmp_path / "data")
    assert len(manifest.table) == EACH * len(CLASSES)
    metrics = evaluate(Brightness(), manifest, out=tmp_path / "out", title="perfect", rounds=20)
    assert metrics["figures"]["accuracy"]["value"] == 1.0
    assert metrics["figures"]["macro_f1"]["value"] == 1.0
    rows = csv.DictReader((tmp_path / "out" / "predictions.csv").read_text().splitlines())
    assert all(row["label"] == row["predicted"] for row in rows)


def test_labels_and_predictions_cannot_come_from_two_passes(tmp_path: Path) -> None:
    """A predictor that answers in another order on every pass, like a data set that reshuffles, is still paired."""

    class Reshuffling(Brightness):
        def predict_many(self, sources, *, class_maps: bool = False) -> Iterator[Finding]:
            answers = list(super().predict_many(sources, class_maps=class_maps))
            random.Random(len(answers)).shuffle(answers)
            yield from answers

    manifest = read_manifest(folders(tmp_path / "data"))
    metrics = evaluate(Reshuffling(), manifest, out=tmp_path / "out", title="reshuffling", rounds=20)
    assert metrics["figures"]["accuracy"]["value"] == 1.0


@pytest.mark.parametrize("order", [sorted, functools.partial(sorted, reverse=True)], ids=["a-z", "z-a"])
def test_class_order_is_not_the_order_of_the_file_system(
    order, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = folders(tmp_path / "data")
    scan = os.scandir

    def ordered(folder: str | Path) -> contextlib.AbstractContextManager:
        with scan(folder) as entries:
            return contextlib.nullcontext(iter(order(entries, key=lambda entry: entry.name)))

    monkeypatch.setattr(os, "scandir", ordered)
    manifest = read_manifest(root)
    assert manifest.classes == ("covid", "normal", "virus")
    assert list(manifest.table["image"]) == sorted(manifest.table["image"])
    split = make_split(manifest, seed=4)
    assert split.to_dict() == make_split(manifest.take(list(manifest.table["image"])[::-1]), seed=4).to_dict()


def in_every_format(root: Path) -> Manifest:
    """One grey picture in every way that a grey picture is stored."""
    grey = Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 70), dtype=np.uint8))
    sixteen = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    clear = grey.convert("RGB")
    clear.putalpha(255)
    (root / "covid").mkdir(parents=True)
    (root / "normal").mkdir()
    grey.save(root / "covid" / "grey.png")
    grey.convert("RGB").save(root / "covid" / "rgb.png")
    clear.save(root / "covid" / "rgba.png")
    grey.convert("P").save(root / "covid" / "palette.png")
    sixteen.save(root / "covid" / "sixteen.png")
    grey.save(root / "normal" / "grey.jpg", quality=95)
    grey.convert("RGB").save(root / "normal" / "rgb.jpeg", quality=95)
    grey.convert("CMYK").save(root / "normal" / "cmyk.jpg", quality=95)
    return read_manifest(root)


def test_the_same_pixels_reach_the_network_in_training_and_in_prediction(tmp_path: Path) -> None:
    """Byte by byte: the cache of training, and what `Predictor.read` gives the graph."""
    from covid_xray.inference.predictor import Predictor
    from support.bundles import make_bundle

    manifest = in_every_format(tmp_path / "data")
    assert len(manifest.quarantine) == 0
    predictor = Predictor(make_bundle(tmp_path / "bundle"))
    height, width = predictor.bundle.height, predictor.bundle.width
    cache = build_cache(manifest, folder=tmp_path / "cache", height=height, width=width)
    for image in manifest.table["image"]:
        trained = cache.pixels[cache.row[image]]
        np.testing.assert_array_equal(trained, predictor.read(manifest.path(image)))
        np.testing.assert_array_equal(trained, predictor.read(manifest.path(image).read_bytes()))


@pytest.mark.parametrize(
    ("name", "tolerance"),
    [("covid/rgb.png", 0), ("covid/rgba.png", 0), ("covid/palette.png", 0), ("covid/sixteen.png", 1),
     ("normal/grey.jpg", 12), ("normal/rgb.jpeg", 12), ("normal/cmyk.jpg", 14)],
)  # fmt: skip
def test_one_picture_is_one_input_however_it_is_stored(name: str, tolerance: int, tmp_path: Path) -> None:
    in_every_format(tmp_path)
    expected = load_input(tmp_path / "covid" / "grey.png", height=64, width=64).astype(int)
    received = load_input(tmp_path / name, height=64, width=64).astype(int)
    assert np.abs(received - expected).max() <= tolerance
