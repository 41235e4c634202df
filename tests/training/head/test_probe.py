"""The linear probe: a head that separates what the frozen features separate, before any training."""

import keras
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from covid_xray.bundle.lung_network import LungNetwork
from covid_xray.config import Training
from covid_xray.errors import UsageError
from covid_xray.training.batches import Part
from covid_xray.training.cache import PixelCache
from covid_xray.training.head.nuisance_projection import away_from, without_corners, without_lungs
from covid_xray.training.head.probe import fit_head, probe_head, scaling, weights_of
from covid_xray.training.network import build_model
from covid_xray.training.sampling import shares
from support.chests import chest, lung_facts, lung_network

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


@pytest.fixture
def features():
    """N x D of very different spread, labels, weights."""
    random = np.random.default_rng(0)
    labels = np.arange(150) % 3
    x = random.normal(size=(150, 6)) + np.eye(3)[labels] @ random.normal(size=(3, 6))
    return (x * [0.01, 0.1, 1, 1, 10, 5]).astype(np.float32), labels, random.uniform(0.2, 2, 150)


def test_with_scales_of_their_own_it_is_scikit_learns_answer(features):
    x, labels, weights = features
    kernel, bias = fit_head(x, labels, weights, strength=0.1)
    peer = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=200))
    peer.fit(x, labels, logisticregression__sample_weight=weights / weights.mean())
    assert x @ kernel + bias == pytest.approx(peer.decision_function(x), abs=0.01)


def test_with_one_scale_it_is_scikit_learns_answer_on_features_over_that_scale(features):
    x, labels, weights = features
    mean, scale = scaling(x, "one")
    assert scale == pytest.approx(np.full(6, np.sqrt(x.var(axis=0).mean())))
    kernel, bias = fit_head(x, labels, weights, strength=0.1, scaled_by=(mean, scale))
    peer = LogisticRegression(C=0.1, max_iter=200).fit((x - mean) / scale, labels, weights / weights.mean())
    assert x @ kernel + bias == pytest.approx(peer.decision_function((x - mean) / scale), abs=0.01)


def test_a_head_kept_off_a_direction_does_not_see_it(features):
    x, labels, weights = features
    direction = np.array([[0.0, 0, 1, 0, 0, 0]])
    kernel, _ = fit_head(x, labels, weights, strength=1.0, away=away_from([direction], 6))
    assert np.abs(kernel[2]).max() < 1e-9
    assert np.abs(kernel).max(axis=1)[[0, 1, 3, 4, 5]].min() > 1e-4


def test_natural_weights_are_those_of_the_classes():
    labels = np.repeat([0, 0, 1], [60, 10, 30])
    groups = np.repeat([0, 1, 2], [60, 10, 30])
    natural, balanced = (weights_of(groups, labels, prior) for prior in ("natural", "balanced"))
    assert balanced == pytest.approx(shares(groups, labels))
    assert natural[labels == 0].sum() / natural.sum() == pytest.approx(0.7)
    assert natural[groups == 0].sum() / natural[groups == 1].sum() == pytest.approx(np.sqrt(6))


def _outside_part(side=64):
    """Class 1 has a bright body around the same lungs; its lungs are a little brighter too."""
    labels = np.arange(80) % 2
    random = np.random.default_rng(0)
    pixels = np.stack([chest(height=side, width=side, body=170 + 20 * k, lung=40 + 30 * k) for k in labels])
    pixels = (pixels + random.integers(0, 10, pixels.shape)).astype(np.uint8)
    images = tuple(f"{i}.png" for i in range(80))
    return Part(images, labels, ("a", "b"), PixelCache(pixels, {image: i for i, image in enumerate(images)}), labels)


def test_a_head_blind_to_the_outside_gives_one_answer_when_the_lungs_are_hidden():
    part, network = _outside_part(), LungNetwork(lung_network(), lung_facts())
    x = np.stack([part.cache.pixels, without_lungs(part.cache.pixels, network)[0]])[..., None].astype(np.float32)
    moved = []
    for blind in ((), ("outside",)):
        settings = Training(**{**TINY, "image_size": 64, "probe": 0.1}, dense=(), probe_blind=blind)
        model = build_model(settings, 2)
        probe_head(model, part, settings=settings, lungs=network)
        seen, without = (keras.ops.convert_to_numpy(model(pictures)) for pictures in x)
        assert (seen.argmax(axis=1) == part.labels).mean() > 0.95
        odds = np.log(without[:, 1] / without[:, 0])
        moved.append(abs(float(odds[part.labels == 1].mean() - odds[part.labels == 0].mean())))
    assert moved[0] > 0.5
    assert moved[1] < 0.02


def test_a_head_blind_to_corners_gives_the_same_answer_without_them_on_the_mean():
    part, moved = _part(2), []
    x = np.stack([part.cache.pixels, without_corners(part.cache.pixels)])[..., None].astype(np.float32)
    for blind in ((), ("corners",)):
        settings = Training(**{**TINY, "probe": 0.01}, dense=(), probe_blind=blind)
        model = build_model(settings, 2)
        probe_head(model, part, settings=settings)
        seen, without = (np.log(keras.ops.convert_to_numpy(model(pictures))) for pictures in x)
        moved.append(abs(float(((without - seen)[:, 1] - (without - seen)[:, 0]).mean())))
    assert moved[0] > 0.1
    assert moved[1] < 0.01


def test_blind_to_the_outside_needs_a_lung_network():
    settings = Training(**TINY, dense=(), probe_blind=("outside",))
    with pytest.raises(UsageError, match="--lungs RUN"):
        probe_head(build_model(settings, 2), _part(2), settings=settings)
