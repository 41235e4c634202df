"""Batches: each image once an epoch with its own label, the same for the same seed and epoch."""

import threading
from collections.abc import Iterator

import numpy as np
import pytest

pytest.importorskip("cv2")

from covid_xray.config import Augmentation, Training
from covid_xray.training import batches
from covid_xray.training.batches import Part
from covid_xray.training.cache import PixelCache

CLASSES = ("covid", "normal", "virus")
STILL = Augmentation(rotation=0, shear=0, zoom=0, shift=0, brightness=0, contrast=0)


def part(count: int = 50, *, size: int = 16) -> Part:
    """Image i is a flat picture of grey 2i and its label is i % 3: any mix-up shows."""
    images = tuple(f"{i}.png" for i in range(count))
    pixels = np.stack([np.full((size, size), 2 * i, np.uint8) for i in range(count)])
    row = {image: index for index, image in enumerate(images)}
    return Part(images, np.arange(count) % 3, CLASSES, PixelCache(pixels, row), np.arange(count) % 3)


def test_every_image_once_with_its_own_pixels_and_label() -> None:
    settings = Training(batch_size=8, augmentation=STILL, class_weights=False)
    seen = []
    for batch in batches.training_batches(part(), settings=settings, epoch=1):
        assert batch.x.shape[1:] == (16, 16, 1)
        assert batch.x.dtype == np.float32
        for image, x, y, weight in zip(batch.images, batch.x, batch.y, batch.weight, strict=True):
            number = int(image.removesuffix(".png"))
            assert x.mean() == 2 * number
            assert y.tolist() == np.eye(3)[number % 3].tolist()
            assert weight == 1
            seen.append(number)
    assert sorted(seen) == list(range(50))
    assert seen != sorted(seen)


def test_epochs_differ_and_repeat_with_the_seed() -> None:
    def order(seed: int, epoch: int) -> list[str]:
        settings = Training(seed=seed, batch_size=8)
        return [i for b in batches.training_batches(part(), settings=settings, epoch=epoch) for i in b.images]

    assert order(0, 1) == order(0, 1)
    assert order(0, 1) != order(0, 2)
    assert order(0, 1) != order(1, 1)


def test_plain_batches_keep_the_order_and_the_pixels() -> None:
    chosen = part(10)
    joined = list(batches.plain_batches(chosen, batch_size=4))
    assert [len(b.images) for b in joined] == [4, 4, 2]
    assert tuple(i for b in joined for i in b.images) == chosen.images
    np.testing.assert_array_equal(np.concatenate([b.x for b in joined])[..., 0], chosen.cache.pixels)


def test_class_weights_balance_the_classes() -> None:
    labels = np.array([0] * 6 + [1] * 3 + [2])
    weights = batches.class_weights(labels, 3)
    sums = [weights[labels[labels == c]].sum() for c in range(3)]
    np.testing.assert_allclose(sums, [10 / 3] * 3, rtol=1e-6)


def spot(*, row: int, column: int, size: int = 65) -> np.ndarray:
    pixels = np.zeros((size, size), np.uint8)
    pixels[row - 2 : row + 3, column - 2 : column + 3] = 200
    return pixels


def centre(pixels: np.ndarray) -> tuple[float, float]:
    rows, columns = np.mgrid[: pixels.shape[0], : pixels.shape[1]]
    return (rows * pixels).sum() / pixels.sum(), (columns * pixels).sum() / pixels.sum()


def test_augmentation_is_really_applied_and_bounded() -> None:
    source = spot(row=32, column=48)
    moved = []
    for seed in range(60):
        turned = batches.augment(source, STILL.model_copy(update={"rotation": 10.0}), (seed,))
        row, column = centre(turned)
        assert np.hypot(row - 32, column - 32) == pytest.approx(16, abs=0.6)  # a rotation keeps the distance
        moved.append(np.degrees(np.arctan2(row - 32, column - 32)))
    assert max(np.abs(moved)) <= 10.5
    assert min(moved) < -5
    assert max(moved) > 5


@pytest.mark.parametrize("amount", ["shear", "zoom", "shift", "brightness", "contrast"])
def test_each_amount_changes_the_picture(amount: str) -> None:
    source = np.random.default_rng(0).integers(40, 200, (32, 32), dtype=np.uint8)
    changed = batches.augment(source, STILL.model_copy(update={amount: 0.2 if amount != "shear" else 10.0}), (1,))
    assert changed.shape == source.shape
    assert changed.dtype == np.uint8
    assert np.abs(changed.astype(int) - source).mean() > 1
    np.testing.assert_array_equal(batches.augment(source, STILL, (1,)), source)


def test_the_heart_keeps_its_side_by_default() -> None:
    source = spot(row=32, column=52)
    columns = [centre(batches.augment(source, Augmentation(), (seed,)))[1] for seed in range(40)]
    assert min(columns) > 32
    flipped = Augmentation(horizontal_flip=True)
    columns = [centre(batches.augment(source, flipped, (seed,)))[1] for seed in range(40)]
    assert min(columns) < 32 < max(columns)


def test_prefetch_keeps_order_stops_early_and_hands_errors_on() -> None:
    assert list(batches.prefetch(iter(range(100)))) == list(range(100))
    taken = batches.prefetch(iter(range(10**9)))
    assert [next(taken), next(taken)] == [0, 1]
    taken.close()  # type: ignore[attr-defined]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("batches")]

    def broken() -> Iterator[int]:
        yield 1
        raise ValueError("no third")

    received = batches.prefetch(broken())
    assert next(received) == 1
    with pytest.raises(ValueError, match="no third"):
        next(received)
