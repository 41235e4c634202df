"""Streams of drawn chests as drift monitoring keeps them, with silent changes of processing and of prevalence."""

import functools

import cv2
import numpy as np

from covid_xray.images.appearance import appearance
from covid_xray.images.radiograph import Radiograph
from covid_xray.inference.drift.reference import Observation
from support.gate_samples import SIZE, chest, embedding

POOL = 90
ILL = (0.1, 0.85, 0.7)  # probability of illness of normal, covid, virus


def gamma(pixels: np.ndarray) -> np.ndarray:
    return (255 * (pixels / 255.0) ** 1.3).astype(np.uint8)


def clahe(pixels: np.ndarray) -> np.ndarray:
    return np.asarray(cv2.createCLAHE(clipLimit=2.0, tileGridSize=(4, 4)).apply(pixels))


def resampled(pixels: np.ndarray) -> np.ndarray:
    """As another detector's pixel pitch leaves it: finer steps are gone."""
    small = cv2.resize(pixels, None, fx=0.7, fy=0.7, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (SIZE, SIZE), interpolation=cv2.INTER_LINEAR))


def lateral(pixels: np.ndarray) -> np.ndarray:
    """Both lungs over each other in a narrow body, much as a lateral film shows them."""
    folded = (pixels.astype(np.float32) + pixels[:, ::-1]) / 2
    narrow = cv2.resize(folded[:, : SIZE // 2], (SIZE * 2 // 3, SIZE), interpolation=cv2.INTER_AREA)
    return np.pad(narrow, ((0, 0), (SIZE // 6, SIZE - SIZE // 6 - narrow.shape[1]))).astype(np.uint8)


PROCESSING = {"gamma": gamma, "CLAHE": clahe, "another detector": resampled, "laterals": lateral}


@functools.cache
def seen(seed: int, change: str = "") -> Observation:
    """One chest, its processing changed or not."""
    pixels = chest(seed).pixels
    film = Radiograph(PROCESSING[change](pixels)) if change else chest(seed)
    kind = seed % 3
    ill = float(np.clip(ILL[kind] + np.random.default_rng(seed).normal(0, 0.1), 0, 1))
    answer = "cannot say" if change == "laterals" else ("normal", "covid", "virus")[kind]
    return Observation(answer, ill, "PA", "AGFA", (), embedding(film), appearance(film).figures)


def stream(count: int, *, seed: int, change: str = "", share: float = 1.0, ill: float = 0.3) -> list[Observation]:
    """Images drawn from the pool: `ill` of them ill, `share` of them changed."""
    rng = np.random.default_rng(seed)
    kinds = np.where(rng.random(count) < ill, rng.integers(1, 3, count), 0)
    numbers = 3 * rng.integers(0, POOL // 3, count) + kinds
    changed = rng.random(count) < share
    return [seen(int(n), change if change and c else "") for n, c in zip(numbers, changed, strict=True)]
