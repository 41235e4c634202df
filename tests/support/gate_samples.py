"""Drawn chests for tests of the gate, with an embedding that follows the picture; and what is no chest."""

import functools

import numpy as np

from covid_xray.evaluation.gate.sample import Sample
from covid_xray.images.phantoms.phantom import draw, draw_anatomy, draw_exposure
from covid_xray.images.radiograph import ImageSource, Radiograph
from covid_xray.inference.gate_features import layout, look

_MIX = np.random.default_rng(5).normal(0, 1, (80, 24)) / 9
SIZE = 48


@functools.cache
def chest(seed: int) -> Radiograph:
    """One patient of SIZE x SIZE pixels, a third of them children, with any of the findings."""
    random = np.random.default_rng((seed, 9))
    finding = ("normal", "covid", "virus")[seed % 3]
    drawn = draw(
        draw_anatomy(random), finding=finding, severity=0.5, size=SIZE, exposure=draw_exposure(random), seed=seed
    )
    return Radiograph(drawn.pixels, source=ImageSource(format="PNG"))


def embedding(radiograph: Radiograph) -> np.ndarray:
    """24 features that follow the picture, as a network's would; none below zero."""
    return np.maximum(layout(look(radiograph).thumbnail[None])[0] @ _MIX, 0)


def sample(seeds: range) -> Sample:
    """What the gate sees of those patients."""
    films = [chest(seed) for seed in seeds]
    labels = np.array([("normal", "covid", "virus")[seed % 3] for seed in seeds])
    members = np.array([f"p{seed:04}" for seed in seeds])
    return Sample([look(film) for film in films], np.array([embedding(film) for film in films]), labels, members)


def strangers(count: int = 12) -> dict[str, list[Radiograph]]:
    """Pictures that are no frontal chest, by kind."""
    random = np.random.default_rng(1)
    y, x = np.mgrid[:SIZE, :SIZE] / SIZE
    made: dict[str, list[Radiograph]] = {"noise": [], "photograph": [], "strokes": [], "gradient": [], "half": []}
    for number in range(count):
        made["noise"].append(_grey(random.random((SIZE, SIZE))))
        sky = 0.8 - 0.5 * y + 0.3 * (y > 0.5 + 0.1 * np.sin(9 * x + number)) * random.random()
        made["photograph"].append(_grey(sky + random.normal(0, 0.03, sky.shape)))
        strokes = (np.abs(np.sin(random.uniform(10, 30) * x + random.uniform(-20, 20) * y)) < 0.2) * 1.0
        made["strokes"].append(_grey(strokes))
        made["gradient"].append(_grey(x * random.random() + y * random.random()))
        made["half"].append(Radiograph(np.ascontiguousarray(chest(600 + number).pixels[:, : SIZE // 2])))
    return made


def _grey(values: np.ndarray) -> Radiograph:
    return Radiograph((np.clip(values, 0, 1) * 255).astype(np.uint8))
