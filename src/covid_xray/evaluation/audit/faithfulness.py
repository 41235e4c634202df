"""Measure how faithful heat maps are to the network: insertion, deletion, and their share inside the lungs."""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from covid_xray.inference.heatmap import normalise

Floats = NDArray[np.float32]
Classify = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
STEPS = 12  # equal shares of the pixels
BLUR = 0.05  # share of the side: the standard deviation of what insertion starts from


@dataclass(frozen=True, eq=False)
class Curves:
    """Class probability as pixels are inserted or deleted, most important first: each N x (steps + 1)."""

    insertion: Floats  # from the blurred picture to the picture itself
    deletion: Floats  # from the picture itself to the mean picture

    @property
    def areas(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Areas under both curves, N each, 0..1; a faithful map has a large insertion and a small deletion area."""
        found = [np.trapezoid(curve, dx=1 / (curve.shape[1] - 1), axis=1) for curve in (self.insertion, self.deletion)]
        return found[0].astype(np.float64), found[1].astype(np.float64)


def curves(
    classify: Classify, pictures: NDArray[np.uint8], maps: Floats, classes: NDArray[np.int64], *,
    mean: NDArray[np.uint8], seed: int = 0,
) -> Curves:  # fmt: skip
    """Compute insertion and deletion of each picture (RISE; Petsiuk and others 2018).

    Args:
        classify: N x h x w uint8 to N x C probabilities.
        pictures: N x h x w uint8.
        maps: N x a x b, of any size; pixels of equal value come in random order.
        classes: N class codes.
        mean: h x w uint8, which replaces deleted pixels.
        seed: of the random order.
    """
    found = [
        _curves_of(classify, picture, ranks(heat, picture.shape, seed=seed + number), int(code), mean)
        for number, (picture, heat, code) in enumerate(zip(pictures, maps, classes, strict=True))
    ]
    insertion, deletion = zip(*found, strict=True)
    return Curves(np.stack(insertion), np.stack(deletion))


def ranks(heat: Floats, shape: tuple[int, ...], *, seed: int) -> NDArray[np.int64]:
    """Return the rank of each pixel by importance, h x w, 0 for the most important."""
    height, width = shape
    drawn = normalise(heat, height=height, width=width)
    importance = np.zeros(shape, np.float32) if drawn is None else drawn
    chance = np.random.default_rng(seed).random(importance.size)
    order = np.lexsort((chance, -importance.reshape(-1)))
    places = np.empty(importance.size, dtype=np.int64)
    places[order] = np.arange(importance.size)
    return places.reshape(shape)


def inside(maps: Floats, lungs: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the share of each map's mass inside the lungs, and its ratio to the lungs' share of the picture.

    Args:
        maps: N x a x b, zero or more.
        lungs: N x h x w.

    Returns:
        N each; NaN for a map without evidence. A map unrelated to the lungs has a ratio of 1.
    """
    height, width = lungs.shape[1:]
    shares = np.full(len(maps), np.nan)
    for number, (heat, mask) in enumerate(zip(maps, lungs, strict=True)):
        drawn = normalise(heat, height=height, width=width)
        if drawn is not None and drawn.sum() > 0:
            shares[number] = float(drawn[mask].sum() / drawn.sum())
    return shares, shares / lungs.mean(axis=(1, 2))


def _curves_of(
    classify: Classify, picture: NDArray[np.uint8], places: NDArray[np.int64], code: int, mean: NDArray[np.uint8]
) -> tuple[Floats, Floats]:
    blurred = cv2.GaussianBlur(picture, (0, 0), BLUR * max(picture.shape))
    limits = np.linspace(0, picture.size, STEPS + 1).round()
    come = [np.where(places < limit, picture, blurred) for limit in limits]
    go = [np.where(places < limit, mean, picture) for limit in limits]
    found = classify(np.stack([*come, *go]))[:, code]
    return found[: STEPS + 1], found[STEPS + 1 :]
