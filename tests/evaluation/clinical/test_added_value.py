"""Figures of several ways to answer the same images, and what each adds to the first."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from covid_xray.data.manifest.manifest import Manifest
from covid_xray.evaluation.clinical.added_value import Variant, measure_added_value
from covid_xray.evaluation.metrics.metrics import compute

CLASSES = ("covid", "normal", "virus")


@pytest.fixture(scope="module")
def found() -> tuple[dict, np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, 200)
    image = random.dirichlet([1, 1, 1], 200) + 0.5 * np.eye(3)[labels]
    image /= image.sum(axis=1, keepdims=True)
    better = image + np.eye(3)[labels]
    better /= better.sum(axis=1, keepdims=True)
    table = pd.DataFrame({"image": [f"{k}" for k in range(200)], "label": [CLASSES[k] for k in labels]})
    people = np.array([f"p{k // 2}" for k in range(200)])
    variants = [Variant("image", "i", image), Variant("joint", "j", better, (better, image))]
    nothing = pd.DataFrame(columns=["image", "code", "reason"])
    return (
        measure_added_value(variants, Manifest(table, Path(), nothing), labels, people, CLASSES, rounds=50),
        image,
        labels,
    )


def test_figures_are_those_of_the_house_with_intervals_over_patients(found) -> None:
    told, image, labels = found
    figure = told["variants"]["image"]["figures"]["macro_f1"]
    assert figure["value"] == pytest.approx(compute(labels, image, CLASSES)["macro_f1"])
    assert (figure["n"], figure["unit"]) == (100, "patients")
    assert (told["images"], told["patients"], sum(told["labels"].values())) == (200, 100, 200)


def test_the_gain_is_paired_and_the_first_has_none(found) -> None:
    told, image, labels = found
    gain = told["variants"]["joint"]["minus_image"]["macro_f1"]
    assert gain["ci_low"] > 0
    assert gain["second"] == pytest.approx(1.0)
    assert told["variants"]["image"]["minus_image"] == {}
    mean = told["variants"]["joint"]["mean_of_draws"]["macro_f1"]
    assert mean == pytest.approx((1.0 + compute(labels, image, CLASSES)["macro_f1"]) / 2)
