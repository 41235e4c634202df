"""The doctor's question about what is filled in: silent where it says nothing, red where it tells the class."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from covid_xray.data.doctor.missingness import has_clinical_values, missingness, predict_by_clue
from covid_xray.data.doctor.pitfall import Verdict
from covid_xray.data.manifest.manifest import Manifest


def manifest(**columns: list[str]) -> Manifest:
    label = ["covid"] * 100 + ["normal"] * 100
    table = pd.DataFrame({"image": [f"{k:03}" for k in range(200)], "label": label, **columns})
    return Manifest(table, Path(), pd.DataFrame(columns=["image", "code", "reason"]))


def test_fields_stated_of_one_class_only_fail() -> None:
    found = missingness(manifest(spo2=["91"] * 100 + [""] * 100))
    assert found.verdict is Verdict.FAIL
    assert found.number == pytest.approx(1.0)
    assert "spo2: 100 covid" in found.examples
    assert "covid-xray fuse" in found.advice


def test_fields_stated_of_both_alike_pass_whatever_their_values() -> None:
    random = np.random.default_rng(0)
    stated = random.random(200) < 0.5
    age = [("70" if k < 100 else "30") if yes else "" for k, yes in enumerate(stated)]
    found = missingness(manifest(age=age))
    assert found.verdict is Verdict.PASS
    assert abs(found.number - 0.5) < 0.1


def test_it_is_asked_only_of_tables_that_state_something() -> None:
    assert not has_clinical_values(manifest())
    assert not has_clinical_values(manifest(age=[""] * 200))
    assert has_clinical_values(manifest(offset_days=["3"] + [""] * 199))


def test_one_class_cannot_be_told() -> None:
    one = manifest(age=["63"] * 200).take([True] * 100 + [False] * 100)
    assert missingness(one).verdict is Verdict.WARN


def test_values_that_are_refused_are_counted() -> None:
    assert "1 values are out of range" in missingness(manifest(spo2=["0.91", "90"] + [""] * 198)).says


def test_a_patient_does_not_tell_on_himself() -> None:
    """One patient with many images and a pattern of his own: the pattern is known of nobody else."""
    clue = np.array(["a"] * 10 + ["b"] * 10)
    label = np.array(["x"] * 10 + ["y"] * 10)
    assert predict_by_clue(clue, label, np.array(["p"] * 10 + ["q"] * 10)) == pytest.approx(0.5)
    assert predict_by_clue(clue, label, np.arange(20).astype(str)) == pytest.approx(1.0)
