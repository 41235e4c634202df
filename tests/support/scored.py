"""Predictions of networks that do not exist, for the tests of what is computed from them."""

import numpy as np
import pandas as pd

from covid_xray.evaluation.measure import measure
from covid_xray.evaluation.metrics.operating_points import (
    OneVsRest,
)
from covid_xray.evaluation.predictions import FAILED, Predictions, predict_manifest, probability_columns
from support.brightness import Brightness, Described, manifest

CLASSES = ("covid", "normal", "virus")


def answers(labels: np.ndarray, right: np.ndarray, *, seed: int = 0, patients: list[str] | None = None) -> Predictions:
    """One row for each label; where `right`, the most probable class is the true one."""
    random = np.random.default_rng(seed)
    said = np.where(right, labels, (labels + 1) % 3)
    p = random.dirichlet([2, 2, 2], len(labels))
    highest = p.argmax(axis=1)
    rows = np.arange(len(labels))
    p[rows, said], p[rows, highest] = p[rows, highest], p[rows, said].copy()
    table = pd.DataFrame(
        {
            "image": [f"{i:04}.png" for i in rows],
            "label": [CLASSES[code] for code in labels],
            "predicted": [CLASSES[code] for code in said],
            **{f"p_{name}": p[:, code] for code, name in enumerate(CLASSES)},
            "reasons": "",
        }
    )
    if patients is not None:
        table["patient_id"] = patients
    return Predictions(table, CLASSES, pd.DataFrame(columns=list(FAILED), dtype=str))


def two(count: int = 60, *, seed: int = 0, chances: tuple[float, float] = (0.6, 0.8), **others):
    random = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    return [answers(labels, random.random(count) < chance, seed=seed + n, **others) for n, chance in enumerate(chances)]


def drawn(count: int = 300, *, seed: int = 0, gap: float = 1.5, digits: int = 9) -> OneVsRest:
    random = np.random.default_rng(seed)
    positive = random.random(count) < 0.4
    scores = 1 / (1 + np.exp(-random.normal(gap * (positive - 0.5), 1)))
    return OneVsRest(scores.round(digits), positive)


def predictions(labels: list[int], *, seed: int = 0) -> Predictions:
    p = np.random.default_rng(seed).dirichlet((1, 1, 1), len(labels))
    p[np.arange(len(labels)), labels] += 1
    table = pd.DataFrame(p / p.sum(axis=1, keepdims=True), columns=probability_columns(CLASSES))
    table.insert(0, "image", [f"{i}.png" for i in range(len(labels))])
    table.insert(1, "label", [CLASSES[code] for code in labels])
    table.insert(2, "predicted", [CLASSES[code] for code in p.argmax(axis=1)])
    return Predictions(table, CLASSES, pd.DataFrame(columns=["image", "label", "code", "message"]))


def worse(found: Predictions, rows: np.ndarray) -> Predictions:
    """The same with the probabilities of `rows` turned round by one class."""
    table = found.table.copy()
    names = [f"p_{name}" for name in CLASSES]
    table.loc[rows, names] = np.roll(table.loc[rows, names].to_numpy(), 1, axis=1)
    table["predicted"] = [CLASSES[code] for code in table[names].to_numpy().argmax(axis=1)]
    return Predictions(table, CLASSES, found.failures)


def study(root, classes=("covid", "normal", "virus"), *, count=48, source="site"):
    greys = [60 + 60 * (i % 3) + 5 * (i % 9) for i in range(count)]
    rows = [
        {"image": f"{i}.png", "label": classes[i % len(classes)], "grey": grey, "source": source}
        for i, grey in enumerate(greys)
    ]
    data = manifest(root, rows)
    predictions = predict_manifest(Brightness(classes=classes), data)
    return predictions, measure(predictions, data, Described(), rounds=10, seed=0)
