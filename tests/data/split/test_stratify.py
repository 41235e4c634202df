"""Stratified dealing: shares as asked, rare classes kept, impossible wishes refused."""

from pathlib import Path

import pandas as pd
import pytest

from covid_xray.data.manifest.manifest import Manifest, quarantine_table
from covid_xray.data.split.split import make_folds, make_split
from covid_xray.errors import BadSplit


def manifest_of(**columns: list[str]) -> Manifest:
    table = pd.DataFrame(columns, dtype=str)
    if "image" not in table:
        table.insert(0, "image", [f"i{n:04d}.png" for n in range(len(table))])
    return Manifest(table, Path(), quarantine_table([]))


def plain(n: int = 60, *, per_patient: int = 2, classes: int = 3) -> Manifest:
    label = [f"c{(i // per_patient) % classes}" for i in range(n)]
    return manifest_of(label=label, patient_id=[f"p{i // per_patient}" for i in range(n)])


def test_a_rare_class_does_not_swell_the_parts():
    manifest = manifest_of(label=["a"] * 400 + ["b"] * 300 + ["rare"] * 3)
    for seed in range(5):
        share = make_split(manifest, seed=seed).value_counts(normalize=True)
        assert share["test"] == pytest.approx(0.15, abs=0.06)
        assert share["val"] == pytest.approx(0.15, abs=0.06)


def test_split_changes_with_the_seed_and_has_the_asked_shares():
    manifest = plain(600)
    split = make_split(manifest, val_fraction=0.15, test_fraction=0.2, calibration_fraction=0.1, seed=1)
    share = split.value_counts(normalize=True)
    assert share["test"] == pytest.approx(0.2, abs=0.03)
    assert share["val"] == pytest.approx(0.15, abs=0.03)
    assert share["calibration"] == pytest.approx(0.1, abs=0.03)
    assert split.to_dict() != make_split(manifest, seed=2).to_dict()
    by_class = pd.crosstab(manifest.table["label"], split.to_numpy(), normalize="index")
    assert (by_class.max() - by_class.min()).max() < 0.05


@pytest.mark.parametrize(("parts", "allowed"), [(0.0, True), (0.1, False)])
def test_a_class_with_fewer_patients_than_parts_is_refused(parts, allowed):
    label = ["a"] * 30 + ["b"] * 6
    patient = [f"p{i}" for i in range(30)] + ["q0", "q0", "q1", "q1", "q2", "q2"]
    manifest = manifest_of(label=label, patient_id=patient)
    if allowed:
        assert set(make_split(manifest, calibration_fraction=parts)) == {"train", "val", "test"}
    else:
        with pytest.raises(BadSplit, match=r"Too few patients of class b .*: 3\. At least 4"):
            make_split(manifest, calibration_fraction=parts)
    with pytest.raises(BadSplit, match=r"Too few patients of class b for 4 folds: 3\. At least 4"):
        make_folds(manifest, folds=4)
