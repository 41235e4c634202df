"""Compute heat maps of one class for each image: Grad-CAM, Grad-CAM++ and occlusion."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from covid_xray.errors import InputRefused
from covid_xray.evaluation.audit.head_gradient import logits_and_gradient
from covid_xray.evaluation.audit.network_graph import NetworkGraph, Runner
from covid_xray.inference.predictor import Predictor

Floats = NDArray[np.float32]
GRID = 9  # positions of the occluding patch along each side
PATCH = 0.2  # its share of the side; neighbours overlap
BATCH = 32
TOLERANCE = 1e-3  # of the largest value; the bundle's own map comes from the same formula in other operations


@dataclass(frozen=True, eq=False)
class Network:
    """A bundle's network as a graph, and whether its feature maps are stored channels last."""

    graph: NetworkGraph
    channels_last: bool

    def maps(
        self, features: Floats, classes: NDArray[np.int64], *, weights: dict[str, Floats] | None = None,
        plus_plus: bool = False,
    ) -> Floats:  # fmt: skip
        """Compute Grad-CAM or Grad-CAM++ of one class for each image: N x h x w, zero or more."""
        _, gradient = logits_and_gradient(self.graph.head, weights or self.graph.weights, features, classes)
        if self.channels_last:
            features, gradient = (np.moveaxis(a, -1, 1) for a in (features, gradient))
        return gradcam_plus_plus(features, gradient) if plus_plus else gradcam(features, gradient)


def gradcam(features: Floats, gradient: Floats) -> Floats:
    """Compute Grad-CAM (Selvaraju and others 2017) from feature maps and gradients, both N x K x h x w."""
    return np.maximum(np.einsum("nk,nkhw->nhw", gradient.mean(axis=(2, 3)), features), 0)


def gradcam_plus_plus(features: Floats, gradient: Floats) -> Floats:
    """Compute Grad-CAM++ (Chattopadhay and others 2018) with the score exp(logit).

    The heads are piecewise linear, so the second and third derivatives are powers of the first. exp(logit) is one
    factor for the whole map and is left out.
    """
    square, cube = gradient**2, gradient**3
    below = 2 * square + features.sum(axis=(2, 3), keepdims=True) * cube
    alpha = np.divide(square, below, out=np.zeros_like(square), where=np.abs(below) > 1e-30)
    weight = (alpha * np.maximum(gradient, 0)).sum(axis=(2, 3))
    return np.maximum(np.einsum("nk,nkhw->nhw", weight, features), 0)


def occlusion(predictor: Predictor, picture: NDArray[np.uint8], code: int, mean: NDArray[np.uint8]) -> Floats:
    """Return how far the probability of class `code` falls under a patch of the mean picture (Zeiler 2014).

    Args:
        predictor: of the network.
        picture: h x w uint8, the network's input.
        code: the class.
        mean: h x w uint8, the content of the patch.

    Returns:
        9 x 9, zero or more.
    """
    rows, columns = (_spans(side) for side in picture.shape)
    pictures = np.repeat(picture[None], GRID * GRID, axis=0)
    for number in range(GRID * GRID):
        place = (number, slice(*rows[number // GRID]), slice(*columns[number % GRID]))
        pictures[place] = mean[place[1:]]
    found = probabilities(predictor, np.concatenate([picture[None], pictures]))[:, code]
    return np.maximum(found[0] - found[1:], 0).reshape(GRID, GRID).astype(np.float32)


def random_maps(count: int, *, seed: int) -> Floats:
    """Return N random maps as coarse as those of occlusion: N x 9 x 9 in 0..1."""
    return np.random.default_rng(seed).random((count, GRID, GRID), dtype=np.float32)


def probabilities(predictor: Predictor, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return N x C probabilities of N x h x w inputs, in batches."""
    parts = [predictor.run(pixels[first : first + BATCH])["probabilities"] for first in range(0, len(pixels), BATCH)]
    return np.concatenate(parts)


def split_network(predictor: Predictor, model: bytes, pixels: NDArray[np.uint8]) -> tuple[Network, Floats]:
    """Return the network and the feature maps of N inputs, after checking that they reproduce the bundle's class maps.

    Raises:
        InputRefused: a head of an unknown form (code `unknown-head`).
    """
    graph = NetworkGraph(model)
    runner: Runner = graph.runner()
    features = runner.features(pixels)
    few = slice(0, min(4, len(pixels)))
    own = predictor.run(pixels[few], class_maps=True)
    codes = own["probabilities"].argmax(axis=1)
    expected = own["class_maps"][np.arange(len(codes)), codes]
    for last in (False, True):
        network = Network(graph, last)
        maps = network.maps(features[few], codes)
        if maps.shape == expected.shape and np.abs(_scaled(maps) - _scaled(expected)).max() <= TOLERANCE:
            return network, features
    raise InputRefused("The class maps of this network cannot be reproduced from its head.", code="unknown-head")


def _scaled(maps: Floats) -> Floats:
    """Scale each map by its own maximum, as maps are drawn."""
    return maps / np.maximum(maps.max(axis=(1, 2), keepdims=True), 1e-12)


def _spans(side: int) -> list[tuple[int, int]]:
    """Return first and last pixel of the patch at each position along a side; together they cover the side."""
    patch = max(1, round(PATCH * side))
    starts = np.linspace(0, side - patch, GRID).round().astype(int)
    return [(int(start), int(start) + patch) for start in starts]
