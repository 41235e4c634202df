"""Pitfalls of a table: each is found by its check, and a clean table has none."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from covid_xray.data.doctor.doctor import examine
from covid_xray.data.doctor.pitfall import Verdict
from covid_xray.data.doctor.pitfalls import age_band, child, one_source_per_class, share_from_pure_sources, size
from covid_xray.data.manifest.manifest import Manifest, quarantine_table
from covid_xray.data.manifest.readers import Refusal
from support.spoilt import I, N, changed, clean, verdicts


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"label": np.where(I < 20, "covid", "normal")}, {"class-counts"}),
        ({"sha256": np.where(I < 3, "same", [f"{k}" for k in I])},
         {"copies", "copies-across-classes", "patients-with-two-ids"}),
        ({"group": np.where(np.isin(I, [0, 2]), "d1", "")}, {"copies", "patients-with-two-ids"}),
        ({"patient_id": ""}, {"patients-known", "metadata"}),
        ({"patient_id": np.where(I < 2, "p", [f"p{k}" for k in I])}, {"patients-in-two-classes"}),
        ({"source": np.where(I % 2, "x", "y")}, {"one-source-per-class", "class-and-source"}),
        ({"source": "x"}, {"one-source-per-class"}),
        ({"view": np.where(I % 2, "PA", "AP")}, {"class-and-view"}),
        ({"view": np.where(I == 5, "L", "PA")}, {"views"}),
        ({"sex": np.where(I % 2, "M", "F")}, {"class-and-sex"}),
        ({"age": np.where(I % 2, "50", "5")}, {"class-and-age", "class-and-children"}),
        ({"file_width": np.where(I % 2, "512", "1024")}, {"class-and-size"}),
        ({"width": np.where(I % 2, "512", "1024"), "height": "512"}, {"class-and-original-size"}),
        ({"file_format": np.where(I % 2, "PNG", "JPEG")}, {"class-and-format"}),
        ({"license": "CC BY-NC"}, {"licenses"}),
        ({"license": ""}, {"licenses"}),
        ({"split": np.where(I < N // 2, "train", "test"),
          "group": np.where(I % (N // 2) < 2, I % (N // 2), "").astype(str)},
         {"copies", "copies-across-split", "patients-with-two-ids"}),
        ({"split": np.where(I < N // 2, "train", "test"), "patient_id": [f"p{k % (N // 2)}" for k in I]},
         {"patients-across-split"}),
    ],
)  # fmt: skip
def test_each_pitfall_is_found_by_its_check(columns, expected):
    found = changed(**columns)
    assert expected <= found
    assert found - expected <= {"class-counts", "one-source-per-class", "metadata", "class-and-size"}


def test_the_grave_ones_fail_and_name_examples():
    manifest, facts = clean(source=np.where(I % 2, "x", "y"), sha256=np.where(I < 2, "same", [f"{k}" for k in I]))
    found = {p.name: p for p in examine(manifest, pixels=facts).pitfalls}
    assert found["class-and-source"].verdict is Verdict.FAIL
    assert found["class-and-source"].number == pytest.approx(1, abs=0.01)
    assert found["one-source-per-class"].verdict is Verdict.FAIL
    assert found["copies-across-classes"].verdict is Verdict.FAIL
    assert found["copies-across-classes"].examples == ("covid | normal: i0000.png | i0001.png",)
    assert found["copies-across-classes"].advice


def test_near_copies_that_were_not_searched_are_not_called_absent():
    manifest, facts = clean()
    without = Manifest(manifest.table.drop(columns="group"), Path(), manifest.quarantine)
    assert verdicts(without, facts)["copies"] is Verdict.WARN


def test_unreadable_files_are_counted_and_refused_rows_are_not():
    manifest, facts = clean()
    rotten = quarantine_table([Refusal("x.png", "truncated", "r"), Refusal("y.png", "license", "r")])
    diagnosis = examine(Manifest(manifest.table, Path(), rotten), pixels=facts)
    readable = next(p for p in diagnosis.pitfalls if p.name == "readable")
    assert readable.verdict is Verdict.WARN
    assert readable.number == pytest.approx(1 / (N + 2))
    assert readable.examples == ("x.png: truncated",)


def test_one_class_is_not_asked_what_tells_the_classes():
    found = verdicts(*clean(label="covid"))
    assert found["class-counts"] is Verdict.FAIL
    assert not [name for name in found if name.startswith("class-and")]


def test_bands_and_sizes():
    table = pd.DataFrame(
        {"age": ["17", "18", "79.5", "", "x"], "source": ["a", "a", "a", "kermany", "a"],
         "file_width": ["512", "512", "", "0", "1024"], "file_height": ["512", "256", "9", "0", "1024"]}
    )  # fmt: skip
    assert age_band(table).tolist() == ["0-17", "18-39", "60-79", "", ""]
    assert child(table).tolist() == ["child", "adult", "adult", "child", ""]
    assert size(table).tolist() == ["18 1.0", "17 2.0", "", "", "20 1.0"]


def test_one_confounded_class_among_three_is_enough():
    label = np.array(["covid", "normal", "virus"])[I % 3]
    manifest, _ = clean(label=label, source=np.where(label == "covid", "x", "y"))
    found = one_source_per_class(manifest)
    assert found.verdict is Verdict.FAIL
    assert "100% of the images of the class covid" in found.says
    assert share_from_pure_sources(manifest.table) == {"covid": 1, "normal": 0, "virus": 0}
