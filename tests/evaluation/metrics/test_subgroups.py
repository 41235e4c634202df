"""Figures by source: small groups have none, patients stay together, confounding is measured."""

import numpy as np
import pandas as pd
import pytest

from covid_xray.data.manifest.manifest import Manifest
from covid_xray.evaluation.metrics.metrics import compute
from covid_xray.evaluation.metrics.subgroups import by_column, patient_groups, worst_group
from support.brightness import CLASSES
from support.scored import predictions


def test_a_group_under_20_images_is_listed_without_figures():
    found = by_column(predictions([0, 1] * 35), ["big"] * 51 + ["small"] * 19, groups=None, rounds=20)
    assert found["small"]["n_images"] == 19
    assert found["small"]["figures"] is None
    assert "too few" in found["small"]["note"]
    assert found["big"]["figures"]["accuracy"]["n"] == 51


def test_figures_of_a_group_are_those_of_its_images_alone():
    everything = predictions([0, 1, 2] * 60)
    values = ["a", "b"] * 90
    found = by_column(everything, values, groups=None, rounds=20)
    mask = np.array(values) == "b"
    expected = compute(everything.labels[mask], everything.probabilities[mask], CLASSES)
    assert {name: figure["value"] for name, figure in found["b"]["figures"].items()} == pytest.approx(expected)


def test_inside_a_source_a_rare_class_has_no_figures_and_spoils_no_mean():
    found = by_column(predictions([0] * 60 + [1] * 3), ["x"] * 63, groups=None, rounds=20)["x"]
    assert found["labels"] == {"covid": 60, "normal": 3, "virus": 0}
    assert {"accuracy", "sensitivity/covid"} <= found["figures"].keys()
    absent = {"sensitivity/normal", "auroc/covid", "specificity/covid", "balanced_accuracy", "macro_f1", "auroc_macro"}
    assert not absent & found["figures"].keys()


def test_an_empty_value_is_listed_as_not_stated():
    assert set(by_column(predictions([0] * 4), ["", "a", "", "a"], groups=None, rounds=5)) == {"a", "not stated"}


def test_patients_counts_people_and_draws_them():
    found = by_column(
        predictions([0, 1] * 20), ["x"] * 40, groups=np.array([f"p{i // 4}" for i in range(40)]), rounds=20
    )
    assert found["x"]["n_patients"] == 10
    assert (found["x"]["figures"]["accuracy"]["n"], found["x"]["figures"]["accuracy"]["unit"]) == (10, "patients")


def manifest_of(**columns: list[str]) -> Manifest:
    table = pd.DataFrame({"image": [f"{i}.png" for i in range(4)], "label": ["covid"] * 4, **columns}, dtype=str)
    return Manifest(table, None, pd.DataFrame(columns=["image", "code", "reason"]))


def test_patients_and_duplicates_are_one_group():
    manifest = manifest_of(patient_id=["a", "a", "b", ""], group=["", "d1", "d1", ""])
    found = patient_groups(predictions([0, 0, 0, 0]), manifest)
    assert found[0] == found[1] == found[2] != found[3]


def test_without_any_patient_there_are_no_groups():
    assert patient_groups(predictions([0] * 4), manifest_of()) is None
    assert patient_groups(predictions([0] * 4), manifest_of(patient_id=[""] * 4)) is None


def test_worst_is_the_lowest_beside_the_mean_of_all():
    def facts(value):
        return {"figures": {"accuracy": {"value": value, "ci_low": value - 0.1, "ci_high": value + 0.1}}}

    found = worst_group({"a": facts(0.9), "b": facts(0.5), "c": facts(0.7), "d": {"figures": None}}, "accuracy")
    assert (found["name"], found["value"], found["groups"]) == ("b", 0.5, 3)
    assert found["mean"] == pytest.approx(0.7)
    assert worst_group({"a": facts(0.9), "d": {"figures": None}}, "accuracy") is None
