"""Batches: images, pixels and labels stay together, also where images are mixed."""

import numpy as np
import pytest

pytest.importorskip("keras")

from covid_xray.config import Training
from covid_xray.training import batches
from covid_xray.training.cache import PixelCache
from support.datasets import CLASSES


def test_mixed_images_carry_the_labels_that_they_are_made_of() -> None:
    """Image i is i everywhere: what a mixed picture shows tells the shares that its label must have."""
    pixels = np.arange(30, dtype=np.uint8)[:, None, None].repeat(4, 1).repeat(4, 2)
    images = tuple(f"{i}.png" for i in range(30))
    part = batches.Part(images, np.arange(30) % 3, CLASSES, PixelCache(pixels, {im: i for i, im in enumerate(images)}),
                        np.arange(30) % 3)  # fmt: skip
    settings = Training(batch_size=10, augment=False, mixup=0.4)
    plain = list(batches.training_batches(part, settings=settings.model_copy(update={"mixup": 0.0}), epoch=1))
    for before, batch in zip(plain, batches.training_batches(part, settings=settings, epoch=1), strict=True):
        assert batch.images == before.images
        np.testing.assert_allclose(batch.y.sum(axis=1), 1, rtol=1e-6)
        own, seen = before.x[:, 0, 0, 0], batch.x[:, 0, 0, 0]
        assert (batch.y[np.arange(10), before.y.argmax(axis=1)] >= 0.5).all()
        assert (np.ptp(batch.x, axis=(1, 2, 3)) < 1e-4).all()
        for i in range(10):  # some partner j and share s explain pixels and label both
            shares = [(seen[i] - own[j]) / (own[i] - own[j]) if j != i else 1.0 for j in range(10)]
            labels = [s * before.y[i] + (1 - s) * before.y[j] for j, s in enumerate(shares)]
            fits = [
                0.5 <= s <= 1.0001 and np.allclose(y, batch.y[i], atol=1e-4)
                for s, y in zip(shares, labels, strict=True)
            ]
            assert any(fits)
    again = [batch.x for batch in batches.training_batches(part, settings=settings, epoch=1)]
    for one, other in zip(again, batches.training_batches(part, settings=settings, epoch=1), strict=True):
        np.testing.assert_array_equal(one, other.x)
    assert any((a.x != b).any() for a, b in zip(plain, again, strict=True))


def test_parity_is_proved_on_pictures_that_are_not_blank() -> None:
    names = ("a", "b", "c", "d")
    pixels = np.stack([np.full((4, 4), value, np.uint8) for value in (0, 9, 8, 7)])
    cache = PixelCache(pixels, {name: i for i, name in enumerate(names)})
    part = batches.Part(names, np.array([0, 0, 1, 2]), CLASSES, cache, np.zeros(4, np.int64))
    assert batches.some_of_each(part, count=6)[:, 0, 0].tolist() == [9, 8, 7]
    blank = batches.Part(names[:1], np.array([0]), CLASSES, cache, np.zeros(1, np.int64))
    assert batches.some_of_each(blank, count=3).shape == (1, 4, 4)
