"""Learning from other networks: what they say of each image, the loss, and a student that follows them."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

pytest.importorskip("tensorflow")
import keras

from covid_xray.config import Training, load
from covid_xray.data.manifest.manifest import Manifest, read_manifest
from covid_xray.errors import BadBundle, UsageError
from covid_xray.training.batches import Part, training_batches
from covid_xray.training.cache import PixelCache
from covid_xray.training.epochs import part_of, train_epoch, validate
from covid_xray.training.network import build_model
from covid_xray.training.recipe.distillation import (
    DistillationLoss,
    check_teachers,
    describe_teachers,
    label_accuracy,
    open_teachers,
    teach,
)
from covid_xray.training.train import _identity
from support.bundles import CLASSES, make_bundle, network

GREYS = np.linspace(10, 245, 30)
SETTINGS = Training(image_size=32, blocks=(8,), convolutions=1, dense=(), batch_size=10, learning_rate=0.1,
                    augment=False, precision="float32", deterministic=True, class_weights=False)  # fmt: skip


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """Pictures of one grey each, from dark to bright, whose label is the class that the teacher would give."""
    folder = tmp_path_factory.mktemp("data")
    for number, grey in enumerate(GREYS):
        label = ("normal", "virus", "covid")[number // 10]
        (folder / label).mkdir(exist_ok=True)
        Image.fromarray(np.full((32, 32), int(grey), np.uint8)).save(folder / label / f"{number:02}.png")
    return read_manifest(folder)


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two teachers, both unsure, one more than the other."""
    folder = tmp_path_factory.mktemp("bundles")
    return [make_bundle(folder / str(s), model=network(sharpness=s), version=str(s)) for s in (0.05, 0.02)]


@pytest.fixture(scope="module")
def part(manifest: Manifest) -> Part:
    images = list(manifest.table["image"])
    pixels = np.stack([np.asarray(Image.open(manifest.path(image))) for image in images])
    cache = PixelCache(pixels, {image: row for row, image in enumerate(images)})
    return part_of(manifest, pd.Series("train", index=images), "train", cache)


def expected(part: Part, *sharpness: float) -> np.ndarray:
    """The mean of the teachers' probabilities, from the formula of `support.bundles`, but for its edges."""
    mean = np.array([part.cache.pixels[part.cache.row[image]].mean() for image in part.images]) / 255
    logits = np.stack([60 * mean - 40, 20 - 60 * mean, 0 * mean], axis=1)
    each = [np.exp(s * logits) / np.exp(s * logits).sum(axis=1, keepdims=True) for s in sharpness]
    return np.mean(each, axis=0)


def taught(part: Part, manifest: Manifest, bundles: list[Path]) -> Part:
    teachers = open_teachers(Training(distill_from=tuple(bundles)), part.classes)
    return teach(part, manifest, teachers, progress=lambda done, total: None)


def test_teachers_are_averaged_image_by_image(part: Part, manifest: Manifest, bundles: list[Path]) -> None:
    found = taught(part, manifest, bundles)
    np.testing.assert_allclose(found.taught, expected(part, 0.05, 0.02), atol=0.04)
    batch = next(iter(training_batches(found, settings=SETTINGS, epoch=1)))
    rows = [part.images.index(image) for image in batch.images]
    np.testing.assert_array_equal(batch.y[:, :3].argmax(axis=1), part.labels[rows])
    np.testing.assert_array_equal(batch.y[:, 3:], found.taught[rows])


def test_classes_that_only_the_teacher_knows_are_ruled_out(part: Part, manifest: Manifest, bundles: list[Path]) -> None:
    rows = np.flatnonzero(part.labels != CLASSES.index("virus"))
    two = Part(tuple(part.images[row] for row in rows), part.labels[rows], ("covid", "normal"), part.cache,
               part.groups[rows])  # fmt: skip
    all_three = taught(part, manifest, bundles[:1]).taught
    assert all_three is not None
    known = all_three[rows][:, :2]
    found = taught(two, manifest, bundles[:1]).taught
    np.testing.assert_allclose(found, known / known.sum(axis=1, keepdims=True), atol=1e-5)


def test_a_teacher_must_be_there_and_know_every_class(bundles: list[Path], tmp_path: Path) -> None:
    settings = Training(distill_from=(bundles[0],))
    with pytest.raises(UsageError, match=r"cannot teach bacterial: its classes are covid, normal, virus"):
        open_teachers(settings, ("bacterial", "covid"))
    with pytest.raises(BadBundle, match="nowhere"):
        check_teachers(Training(distill_from=(tmp_path / "nowhere",)))
    with pytest.raises(UsageError, match="objective=classes"):
        load(Training, overrides=["distill_from=[a]", "objective=within_source"])


def test_a_run_is_another_with_other_teachers(bundles: list[Path]) -> None:
    said = [describe_teachers(open_teachers(Training(distill_from=(bundle,)), CLASSES)) for bundle in bundles]
    assert [facts[0]["version"] for facts in said] == ["0.05", "0.02"]
    split = pd.Series({"a.png": "train"})
    found = {_identity(SETTINGS, split, CLASSES, None, None, facts) for facts in (*said, ())}
    assert len(found) == 3


def test_the_loss_is_the_published_one() -> None:
    """Hinton and others 2015, written out for one image."""
    labels, teacher, own = np.array([[0.0, 1, 0]]), np.array([[0.7, 0.2, 0.1]]), np.array([[0.2, 0.5, 0.3]])

    def soft(values: np.ndarray) -> np.ndarray:
        return values ** (1 / 3) / (values ** (1 / 3)).sum()

    divergence = float((soft(teacher) * np.log(soft(teacher) / soft(own))).sum())
    loss = DistillationLoss(weight=0.25, temperature=3.0)
    both = np.concatenate([labels, teacher], axis=1).astype(np.float32)
    value = float(loss(both, own.astype(np.float32)))
    assert value == pytest.approx(0.75 * -np.log(0.5) + 0.25 * 9 * divergence, rel=1e-5)
    same = np.concatenate([own, own], axis=1).astype(np.float32)
    alike = DistillationLoss(weight=1.0, temperature=2.0)
    assert float(alike(same, own.astype(np.float32))) == pytest.approx(0, abs=1e-6)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(label_accuracy(both, own.astype(np.float32))), [1])
    assert DistillationLoss.from_config(loss.get_config()).temperature == 3.0


def test_a_student_follows_its_teachers_closer_than_one_that_knows_labels_alone(
    part: Part, manifest: Manifest, bundles: list[Path]
) -> None:
    """The labels are those that the teachers would give: what is learned from them besides is how sure they are."""
    by_teachers = taught(part, manifest, bundles)
    assert by_teachers.taught is not None
    teachers = by_teachers.taught

    def distance(settings: Training, part: Part) -> float:
        model = build_model(settings, 3)
        for epoch in range(1, 13):
            train_epoch(model, part, settings=settings, epoch=epoch)
        images = part.cache.pixels[[part.cache.row[image] for image in part.images]]
        found = model.predict_on_batch(images[..., None].astype(np.float32))
        assert np.isfinite(validate(model, part, batch_size=30)[0])
        return float(np.mean(np.sum(teachers * np.log(teachers / found), axis=1)))

    alone = distance(SETTINGS, part)
    student = distance(SETTINGS.model_copy(update={"distill_from": tuple(bundles), "distill_weight": 0.9}),
                       by_teachers)  # fmt: skip
    assert student < alone / 3
