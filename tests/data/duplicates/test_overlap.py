"""Copies: who shares radiographs with whom, and what the copies contradict."""

from pathlib import Path

import pandas as pd

from covid_xray.data.duplicates.overlap import (
    contradictions,
    distinct,
    double_patients,
    patients_in_two_classes,
    radiographs,
    shared_pairs,
)
from covid_xray.data.manifest.manifest import Manifest, quarantine_table
from covid_xray.data.split.groups import COPIES, groups

TABLE = pd.DataFrame(
    [
        ("a", "covid", "one", "p1", "s1", "d1"),
        ("b", "covid", "one", "p1", "s2", "d1"),
        ("c", "normal", "two", "q9", "s3", "d1"),
        ("d", "normal", "two", "p1", "s4", ""),
        ("e", "covid", "two", "", "s5", "d2"),
        ("f", "covid", "one", "", "s5", ""),
    ],
    columns=["image", "label", "source", "patient_id", "sha256", "group"],
    dtype=str,
)
MANIFEST = Manifest(TABLE, Path(), quarantine_table([]))


def test_pairs_source_by_source():
    pairs = shared_pairs(MANIFEST)
    assert pairs.loc["one", "one"] == 1  # a-b
    assert pairs.loc["one", "two"] == pairs.loc["two", "one"] == 3  # a-c, b-c, e-f
    assert pairs.loc["two", "two"] == 0


def test_a_patient_joins_people_but_not_radiographs():
    films = radiographs(MANIFEST)
    assert films["a"] == films["b"] == films["c"] != films["d"]
    assert films["e"] == films["f"]
    assert distinct(MANIFEST) == (6, 3, 2)
    assert groups(MANIFEST, by=COPIES).nunique() == 3


def test_contradicting_labels_are_named():
    found = contradictions(MANIFEST)
    assert found[["labels", "images"]].to_numpy().tolist() == [["covid | normal", "a | b | c"]]


def test_patients_twice():
    assert double_patients(MANIFEST)["patients"].tolist() == ["p1 | q9"]
    assert patients_in_two_classes(MANIFEST)[["patient_id", "images"]].to_numpy().tolist() == [["p1", 3]]
    without = Manifest(TABLE.drop(columns="patient_id"), Path(), quarantine_table([]))
    assert len(double_patients(without)) == len(patients_in_two_classes(without)) == 0


def test_real_copies(real_data):
    from covid_xray.data.manifest.manifest import read_manifest
    from covid_xray.data.manifest.tables import read_table
    from covid_xray.data.split.groups import with_duplicates

    table = Path(__file__).parents[3] / "docs" / "results" / "cxr-duplicates.csv"
    manifest = with_duplicates(read_manifest(real_data, check=False), read_table(table))
    assert (contradictions(manifest)["labels"] == "covid | normal").sum() == 9
    assert len(patients_in_two_classes(manifest.take(manifest.table["source"] == "darkcovidnet"))) == 21
