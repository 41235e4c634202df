"""The linear probe: a head that separates what the frozen features separate, before any training."""

import keras
import numpy as np
import pytest

from covid_xray.config import Training
from covid_xray.training.batches import Part
from covid_xray.training.cache import PixelCache
from covid_xray.training.network import build_model
from covid_xray.training.probe import probe_head

TINY = {"image_size": 32, "blocks": (8,), "convolutions": 1, "precision": "float32", "augment": False, "probe": 10.0}


def _part(classes):
    """Class k is a picture k times as bright, with some noise."""
    count = 20 * classes
    labels = np.arange(count) % classes
    noise = np.random.default_rng(0).integers(0, 20, (count, 32, 32))
    pixels = (60 * labels[:, None, None] + noise).astype(np.uint8)
    images = tuple(f"{i}.png" for i in range(count))
    cache = PixelCache(pixels, {image: i for i, image in enumerate(images)})
    return Part(images, labels, tuple("abcd"[:classes]), cache, labels)


@pytest.mark.parametrize("classes", [2, 3])
def test_the_head_separates_the_classes_at_once(classes):
    part = _part(classes)
    model = build_model(Training(**TINY, dense=()), classes)
    x = part.cache.pixels[..., None].astype(np.float32)
    probe_head(model, part, settings=Training(**TINY, dense=()))
    found = keras.ops.convert_to_numpy(model(x)).argmax(axis=1)
    assert (found == part.labels).mean() > 0.95


def test_a_stronger_penalty_gives_less_sure_answers():
    part = _part(3)
    x = part.cache.pixels[..., None].astype(np.float32)
    sure = []
    for c in (10.0, 1e-4):
        settings = Training(**{**TINY, "probe": c}, dense=())
        model = build_model(settings, 3)
        probe_head(model, part, settings=settings)
        sure.append(float(keras.ops.convert_to_numpy(model(x)).max(axis=1).mean()))
    assert sure[0] > sure[1] + 0.1


def test_a_flattening_head_is_refused():
    settings = Training(**TINY, dense=(8,))
    with pytest.raises(ValueError, match="global average pooling"):
        probe_head(build_model(settings, 3), _part(3), settings=settings)
