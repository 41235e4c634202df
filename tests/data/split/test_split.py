"""Splits: no patient and no copy of a radiograph on two sides, whatever the data look like."""

from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from covid_xray.data.manifest.manifest import Manifest, quarantine_table
from covid_xray.data.split.groups import groups
from covid_xray.data.split.split import (
    check_split,
    leave_one_source_out,
    make_folds,
    make_split,
    overlaps,
    read_split,
    write_split,
)
from covid_xray.errors import BadManifest, BadSplit


def manifest_of(**columns: list[str]) -> Manifest:
    table = pd.DataFrame(columns, dtype=str)
    if "image" not in table:
        table.insert(0, "image", [f"i{n:04d}.png" for n in range(len(table))])
    return Manifest(table, Path(), quarantine_table([]))


def plain(n: int = 60, *, per_patient: int = 2, classes: int = 3) -> Manifest:
    label = [f"c{(i // per_patient) % classes}" for i in range(n)]
    return manifest_of(label=label, patient_id=[f"p{i // per_patient}" for i in range(n)])


@st.composite
def manifests(draw):
    n = draw(st.integers(8, 60))
    cell = st.integers(0, draw(st.integers(3, 30)))

    def column(prefix):
        return [f"{prefix}{v}" if v else "" for v in draw(st.lists(cell, min_size=n, max_size=n))]

    label = [f"c{v}" for v in draw(st.lists(st.integers(0, 2), min_size=n, max_size=n))]
    return manifest_of(label=label, patient_id=column("p"), sha256=column("s"), group=column("d"))


def sides_of_each_link(manifest: Manifest, split: pd.Series) -> int:
    part = manifest.table["image"].map(split)
    widest = 1
    for column in ("patient_id", "sha256", "group"):
        known = manifest.table[column] != ""
        if known.any():
            widest = max(widest, part[known].groupby(manifest.table.loc[known, column]).nunique().max())
    return widest


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(manifests(), st.integers(0, 5))
def test_no_link_crosses_a_split(manifest, seed):
    try:
        split = make_split(manifest, val_fraction=0.2, test_fraction=0.2, calibration_fraction=0.1, seed=seed)
    except BadSplit:
        return
    assert set(split.index) == set(manifest.table["image"])
    assert sides_of_each_link(manifest, split) == 1
    labels = manifest.table.set_index("image")["label"]
    for part in ("train", "val", "calibration", "test"):
        assert set(labels[split.index[split == part]]) == set(labels)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(manifests(), st.integers(2, 4), st.integers(0, 5))
def test_no_link_crosses_a_fold(manifest, folds, seed):
    try:
        fold = make_folds(manifest, folds=folds, seed=seed)
    except BadSplit:
        return
    assert sides_of_each_link(manifest, fold) == 1
    assert set(fold) == set(range(folds))


@settings(max_examples=60, deadline=None)
@given(manifests(), st.randoms(use_true_random=False))
def test_split_does_not_depend_on_the_order_of_the_rows(manifest, random):
    names = manifest.table["image"].tolist()
    random.shuffle(names)
    try:
        split = make_split(manifest, seed=3)
    except BadSplit:
        with pytest.raises(BadSplit):
            make_split(manifest.take(names), seed=3)
        return
    again = make_split(manifest.take(names), seed=3)
    assert again.index.tolist() == names
    assert split.to_dict() == again.to_dict()


def test_no_test_part_when_none_is_asked():
    assert set(make_split(plain(), test_fraction=0)) == {"train", "val"}


def test_given_parts_are_kept_and_only_the_missing_one_is_made():
    base = plain(80)
    given_parts = ["test" if int(p[1:]) >= 30 else "train" for p in base.table["patient_id"]]
    manifest = manifest_of(**{name: base.table[name].tolist() for name in base.table}, split=given_parts)
    split = make_split(manifest)
    was = manifest.table.set_index("image")["split"]
    assert (split[was == "test"] == "test").all()
    assert set(split[was == "train"]) == {"train", "val"}


def test_no_test_part_is_cut_from_given_train_images():
    base = plain(80)
    manifest = manifest_of(**{name: base.table[name].tolist() for name in base.table}, split=["train"] * 80)
    assert set(make_split(manifest)) == {"train", "val"}


def test_given_overlap_is_refused_with_an_example_or_recorded():
    manifest = manifest_of(
        label=["a", "a", "a", "b", "b", "b"],
        patient_id=["p1", "p1", "p2", "p3", "p4", "p5"],
        split=["train", "test", "val", "train", "test", "val"],
    )
    with pytest.raises(
        BadSplit,
        match=r"1 patients are in two parts .* example i0000\.png \(train\) and i0001\.png \(test\)",
    ):
        make_split(manifest)
    split = make_split(manifest, allow_overlap=True)
    assert split.tolist() == ["train", "test", "val", "train", "test", "val"]
    assert "1 patients are in two parts" in split.attrs["overlaps"][0]


def test_given_duplicates_on_two_sides_are_refused():
    columns = {"label": ["a", "a", "b", "b"], "split": ["train", "val", "train", "val"]}
    with pytest.raises(BadSplit, match="identical images"):
        make_split(manifest_of(**columns, pixels_sha256=["x", "x", "y", "z"]))
    with pytest.raises(BadSplit, match="duplicate groups"):
        make_split(manifest_of(**columns, group=["1", "2", "3", "3"]))


@pytest.mark.parametrize("fractions", [{"val_fraction": 1.0}, {"val_fraction": -0.1}, {"test_fraction": 0.9}])
def test_impossible_fractions(fractions):
    with pytest.raises(BadSplit, match="fractions"):
        make_split(plain(), **fractions)


@settings(max_examples=60, deadline=None)
@given(manifests(), st.lists(st.sampled_from("xyz"), min_size=60, max_size=60))
def test_no_link_joins_a_source_to_the_rest(manifest, sources):
    table = manifest.table.assign(source=sources[: len(manifest.table)])
    if table["source"].nunique() < 2:
        return
    for source, split in leave_one_source_out(Manifest(table, Path(), manifest.quarantine)):
        assert sides_of_each_link(manifest, split) == 1
        assert set(split.index[split == "test"]) == set(table["image"][table["source"] == source])


def test_leave_one_source_out_keeps_linked_images_out_of_training():
    manifest = manifest_of(
        label=["a", "b", "a", "b", "a", "b"],
        source=["x", "x", "y", "y", "z", "z"],
        group=["1", "", "1", "", "", ""],
    )
    splits = dict(leave_one_source_out(manifest))
    assert list(splits) == ["x", "y", "z"]
    assert splits["x"].to_dict() == {
        "i0000.png": "test", "i0001.png": "test", "i0003.png": "train", "i0004.png": "train", "i0005.png": "train",
    }  # fmt: skip
    assert len(splits["z"]) == 6
    with pytest.raises(BadSplit, match="At least 2 are needed"):
        list(leave_one_source_out(plain()))


def test_check_split_names_what_is_wrong():
    manifest = plain(12, classes=2)
    split = pd.Series("train", index=manifest.table["image"])
    check_split(manifest, split)
    with pytest.raises(BadSplit, match=r"no part for i0000\.png"):
        check_split(manifest, split.iloc[1:])
    with pytest.raises(BadSplit, match=r"names zzz\.png"):
        check_split(manifest, pd.concat([split, pd.Series({"zzz.png": "train"})]))
    with pytest.raises(BadSplit, match="'holdout'"):
        check_split(manifest, split.replace("train", "holdout"))
    with pytest.raises(BadSplit, match="no image of class c1"):
        check_split(manifest, split.where(split.index > "i0001.png", "val"))
    half = split.copy()
    half.iloc[[0, 2]] = "val"
    with pytest.raises(
        BadSplit,
        match=r"2 patients are in two parts .* example i0000\.png \(val\) and i0001\.png \(train\)",
    ):
        check_split(manifest, half)


def test_written_split_reads_back(tmp_path):
    manifest = plain()
    split = make_split(manifest)
    write_split(tmp_path / "split.csv", split, manifest)
    assert (tmp_path / "split.csv").read_text().splitlines()[0] == "image,label,patient_id,group,split"
    again = read_split(tmp_path / "split.csv")
    assert again.to_dict() == split.to_dict()
    check_split(manifest, again)
    (tmp_path / "split.csv").write_text("image,part\na,train\n")
    with pytest.raises(BadManifest, match="'split'"):
        read_split(tmp_path / "split.csv")


def test_real_data_split_in_whole_patients(real_data):
    from covid_xray.data.manifest.manifest import read_manifest

    manifest = read_manifest(real_data, check=False)
    split = make_split(manifest.take(manifest.table["source"].isin(["hannover", "ieee8023", "darkcovidnet"])))
    patients = manifest.table.set_index("image")["patient_id"].loc[split.index]
    assert split[patients != ""].groupby(patients[patients != ""]).nunique().max() == 1


@st.composite
def feasible_manifests(draw):
    """Manifests with a valid split: every class has many groups, and no patient, file or copy joins two classes."""
    rows = []
    for label in "abc"[: draw(st.integers(2, 3))]:
        for number in range(draw(st.integers(8, 16))):
            name = f"{label}{number}"
            # A group is a chain: each image is linked to the next by its patient, its file or its radiograph.
            links = draw(st.lists(st.sampled_from(["patient_id", "sha256", "group"]), max_size=3))
            chain = [{"label": label, "patient_id": "", "sha256": "", "group": ""} for _ in range(len(links) + 1)]
            for step, column in enumerate(links):
                value = chain[step][column] or f"{name}-{step}"
                chain[step][column] = chain[step + 1][column] = value
            rows += chain
    table = pd.DataFrame(draw(st.permutations(rows)), dtype=str)
    return manifest_of(**{name: table[name].tolist() for name in table})


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(feasible_manifests(), st.integers(0, 5))
def test_a_split_is_made_where_there_is_one(manifest, seed):
    split = make_split(manifest, val_fraction=0.2, test_fraction=0.2, calibration_fraction=0.1, seed=seed)
    assert set(split.index) == set(manifest.table["image"])
    assert sides_of_each_link(manifest, split) == 1
    assert split.groupby(groups(manifest)).nunique().max() == 1
    labels = manifest.table.set_index("image")["label"]
    for part in ("train", "val", "calibration", "test"):
        assert set(labels[split.index[split == part]]) == set(labels)


def test_a_chain_whose_middle_is_in_no_part_is_an_overlap():
    """The first two images are of one patient, the last two of one radiograph; the split leaves out the second."""
    manifest = manifest_of(label=["a"] * 3, patient_id=["p", "p", ""], group=["", "d", "d"])
    split = pd.Series({"i0000.png": "train", "i0002.png": "test"})
    (sentence,) = overlaps(manifest, split)
    assert sentence.startswith("1 chains of patients and copies are in two parts")
    assert overlaps(manifest, split.replace("test", "train")) == []


def test_an_image_without_a_part_follows_its_patient():
    base = plain(80)
    given_parts = ["test" if int(p[1:]) >= 30 else "train" for p in base.table["patient_id"]]
    given_parts[60::2] = [""] * 10  # the first of the two images of each patient in test
    manifest = manifest_of(**{name: base.table[name].tolist() for name in base.table}, split=given_parts)
    split = make_split(manifest)
    assert (split.iloc[60:] == "test").all()
