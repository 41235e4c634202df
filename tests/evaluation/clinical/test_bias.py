"""Sex and age of tested patients: groups of both answers, thresholds chosen on what is no test."""

from pathlib import Path

import numpy as np
import pandas as pd

from covid_xray.data.manifest.manifest import Manifest
from covid_xray.evaluation.clinical.bias import measure_bias
from covid_xray.evaluation.clinical.clinical_page import bias_page

CLASSES = ("covid", "normal", "virus")


def drawn(count: int = 900) -> tuple[Manifest, np.ndarray]:
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, count)
    age = random.integers(20, 80, count)
    table = pd.DataFrame(
        {
            "image": [f"{k:04}" for k in range(count)],
            "label": [CLASSES[k] for k in labels],
            "split": random.choice(["val", "calibration", "test"], count),
            "sex": random.choice(["F", "M", ""], count),
            "age": [str(years) for years in age],
        }
    )
    p = random.dirichlet([1, 1, 1], count) + 0.6 * np.eye(3)[labels]
    p[age < 50, 0] *= 0.5  # covid is missed in the young
    return Manifest(table, Path(), pd.DataFrame(columns=["image", "code", "reason"])), p / p.sum(axis=1, keepdims=True)


def test_groups_and_repair_of_both_answers() -> None:
    manifest, p = drawn()
    people = manifest.table["image"].to_numpy(dtype=str)
    found = measure_bias({"image": p, "joint": p}, manifest, people, CLASSES, rounds=100)
    assert found is not None
    groups = found["image"]["groups"]["age"]["groups"]
    assert groups["18 to 39"]["figures"]["sensitivity/covid"]["value"] < 0.8
    repaired = found["image"]["mitigation"]["age"]
    test = manifest.table["split"] == "test"
    assert sum(group["images"] for group in repaired["groups"].values()) == int(test.sum())
    assert repaired["each"]["gap"]["sensitivity"]["value"] < repaired["one"]["gap"]["sensitivity"]["value"]
    assert found["image"]["groups"]["sex"]["not_stated"] == int((manifest.table["sex"] == "").sum())
    page = bias_page(found)
    assert "| age: 18 to 39 |" in page
    assert "under 50" in page
    assert "None" not in page


def test_without_the_class_nothing_is_said() -> None:
    manifest, p = drawn(90)
    assert measure_bias({"image": p}, manifest, manifest.table["image"].to_numpy(dtype=str), ("a", "b", "c")) is None
    assert bias_page(None).strip() == ""
