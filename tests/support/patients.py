"""Drawn patients, whose values do or do not tell the class: rows for fusion networks, and a bundle with a table."""

from pathlib import Path

import numpy as np
import pandas as pd

from covid_xray.data.manifest.clinical_table import NAMES
from covid_xray.evaluation.metrics.metrics import compute
from support.bundles import CLASSES, GREYS, grey, make_bundle
from support.drawing import png

AGE, SEX, SPO2 = (NAMES.index(name) for name in ("age", "sex", "spo2"))


def rows(count: int = 400, *, tells: bool = True, seed: int = 0, leak: bool = False):  # -> training.fusion.Rows
    """`count` patients with one image each; the image alone names about 70 %.

    Args:
        count: how many.
        tells: whether the age differs between covid and normal; else it is drawn from one distribution.
        seed: of everything.
        leak: whether the age is stated mostly of covid, and SpO2 of covid only.
    """
    from covid_xray.evaluation.clinical.clinical_predictions import Rows

    random = np.random.default_rng(seed)
    labels = random.integers(0, 3, count)
    logits = random.normal(0, 1, (count, 3)) + 1.3 * np.eye(3)[labels]
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    clinical = np.full((count, len(NAMES)), np.nan, np.float32)
    age = random.normal(np.array([65.0, 35.0, 50.0] if tells else [50.0] * 3)[labels], 10)
    stated = random.random(count) < np.array([0.9, 0.25, 0.0] if leak else [0.7, 0.7, 0.0])[labels]
    clinical[stated, AGE] = np.clip(age, 0, 110)[stated]
    some = random.random(count) < 0.6
    clinical[some & (labels < 2), SEX] = random.integers(0, 2, count)[some & (labels < 2)]
    if leak:
        clinical[labels == 0, SPO2] = random.integers(80, 99, count)[labels == 0]
    embedding = np.concatenate([logits, random.normal(0, 1, (count, 3))], axis=1).astype(np.float32)
    people = np.array([f"p{k:04}" for k in range(count)])
    return Rows(p.astype(np.float32), embedding, clinical, labels.astype(np.int64), people)


def draw_study(folder: Path, *, each: int = 40, seed: int = 0) -> tuple[Path, Path]:
    """A bundle and a table: `each` patients of a class, with ages of covid and normal that differ; (bundle, table)."""
    random = np.random.default_rng(seed)
    found = []
    (folder / "images").mkdir(parents=True)
    for label in CLASSES:
        for number in range(each):
            name = f"images/{label}-{number:03}.png"
            mixed = GREYS[label] + random.normal(0, 45)  # often on the wrong side of the network's border
            pixels = np.clip(grey(label, seed=number).astype(float) - GREYS[label] + mixed, 0, 255).astype(np.uint8)
            (folder / name).write_bytes(png(pixels))
            age = {"covid": 68, "normal": 32, "virus": None}[label]
            found.append(
                {
                    "image": name,
                    "label": label,
                    "patient_id": f"{label}-{number}",
                    "source": "drawn",
                    "split": ("val", "calibration", "test", "train")[number % 4],
                    "age": "" if age is None else f"{age + random.normal(0, 8):.0f}",
                    "sex": "" if age is None else random.choice(["F", "M"]),
                    "spo2": "0.91" if label == "covid" and number == 0 else "",
                }
            )
    table = folder / "table.csv"
    pd.DataFrame(found).to_csv(table, index=False)
    return make_bundle(folder / "bundle"), table


def fitted(data, **recipe):
    from covid_xray.training.clinical.fusion_training import Recipe, fit

    return fit(data, Recipe(**recipe))


def joint(model, data) -> np.ndarray:
    return np.asarray(model(data.inputs)["joint_probabilities"], np.float64)


def nll(data, p: np.ndarray) -> float:
    return compute(data.labels, p / p.sum(axis=1, keepdims=True), CLASSES)["nll"]
