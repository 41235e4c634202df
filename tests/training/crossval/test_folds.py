"""Who is trained on and who is held out: patients apart, sources apart, and leaks counted when that is ignored."""

from pathlib import Path

import pandas as pd
import pytest

from covid_xray.data.manifest.manifest import Manifest
from covid_xray.errors import BadSplit
from covid_xray.training.crossval.folds import Fold, Protocol, plan_folds, write_folds


def manifest(rows: list[tuple[str, str, str]]) -> Manifest:
    """Rows of label, patient, source; the files are never opened."""
    table = pd.DataFrame(rows, columns=["label", "patient_id", "source"], dtype=str)
    table.insert(0, "image", [f"{i:03}.png" for i in range(len(table))])
    return Manifest(table, Path("nowhere"), pd.DataFrame(columns=["image", "code", "reason"]))


def patients(*, each: int = 6, images: int = 3, source: str = "one") -> list[tuple[str, str, str]]:
    """For each of two classes so many patients with so many images."""
    labels = ("covid", "normal")
    return [(label, f"{source}-{label}-{p}", source) for label in labels for p in range(each) for _ in range(images)]


def sides(fold: Fold) -> tuple[set[str], set[str]]:
    return set(fold.side.table["image"]), set(fold.held.table["image"])


def test_each_image_is_held_out_once_and_no_patient_is_on_two_sides() -> None:
    whole = manifest(patients())
    folds = plan_folds(whole, Protocol(folds=3))
    assert [fold.name for fold in folds] == ["1", "2", "3"]
    assert sorted(image for fold in folds for image in fold.held.table["image"]) == sorted(whole.table["image"])
    for fold in folds:
        side, held = sides(fold)
        assert side | held == set(whole.table["image"])
        assert not set(fold.side.table["patient_id"]) & set(fold.held.table["patient_id"])
        assert set(fold.split.index) == side
        parts = fold.side.table.assign(part=fold.split.to_numpy()).groupby("patient_id")["part"].nunique()
        assert (parts == 1).all(), "the validation part is cut by patient too"
        assert set(fold.split) == {"train", "val"}
        assert fold.leaking == fold.set_aside == 0


def test_the_same_images_and_seed_give_the_same_folds_in_any_order() -> None:
    whole = manifest(patients())
    turned = Manifest(whole.table[::-1].reset_index(drop=True), whole.root, whole.quarantine)
    one, two = (plan_folds(m, Protocol(folds=3, seed=4)) for m in (whole, turned))
    assert [sides(fold) for fold in one] == [sides(fold) for fold in two]
    assert [fold.split.sort_index().to_dict() for fold in one] == [fold.split.sort_index().to_dict() for fold in two]
    other = plan_folds(whole, Protocol(folds=3, seed=5))
    assert [sides(fold) for fold in one] != [sides(fold) for fold in other]


def test_folds_by_image_leak_and_the_leak_is_counted() -> None:
    whole = manifest(patients(each=6, images=5))
    folds = plan_folds(whole, Protocol(folds=3, group="image"))
    for fold in folds:
        trained = {row.patient_id for row in whole.table.itertuples() if row.image in sides(fold)[0]}
        expected = whole.table.set_index("image").loc[sorted(sides(fold)[1]), "patient_id"].isin(trained).sum()
        assert fold.leaking == expected > 0
    assert sum(fold.leaking for fold in folds) > 0.9 * len(whole.table), "five images of a patient, three folds"


def test_copies_leak_as_patients_do() -> None:
    rows = [(label, "", "one") for label in ("covid", "normal") for _ in range(12)]
    whole = manifest(rows)
    whole.table["group"] = ["same" if i < 2 else "" for i in range(24)]
    by_image = [plan_folds(whole, Protocol(folds=4, group="image", seed=seed)) for seed in range(20)]
    assert {sum(fold.leaking for fold in folds) for folds in by_image} == {0, 2}
    assert sum(fold.leaking for fold in plan_folds(whole, Protocol(folds=4))) == 0


def test_parts_that_the_data_brings_are_not_those_of_the_folds() -> None:
    whole = manifest(patients())
    whole.table["split"] = "test"
    folds = plan_folds(whole, Protocol(folds=3))
    assert {part for fold in folds for part in fold.split} == {"train", "val"}


def test_each_source_is_held_out_with_whoever_it_shares_a_patient_with_set_aside() -> None:
    rows = patients(source="one") + patients(source="two")
    rows.append(("covid", "one-covid-0", "two"))  # a patient of both
    whole = manifest(rows)
    one, two = plan_folds(whole, Protocol(leave_out="source"))
    assert (one.name, two.name) == ("one", "two")
    assert set(one.held.table["source"]) == {"one"}
    assert set(one.side.table["source"]) == {"two"}
    assert one.set_aside == 1
    assert two.set_aside == 3
    assert "one-covid-0" not in set(one.side.table["patient_id"]) | set(two.side.table["patient_id"])
    assert one.leaking == two.leaking == 0


def test_a_source_that_holds_a_class_alone_leaves_it_out_of_the_answers() -> None:
    rows = [*patients(source="one"), *patients(source="two")]
    rows += [("virus", f"v{i}", "three") for i in range(6)]
    folds = {fold.name: fold for fold in plan_folds(manifest(rows), Protocol(leave_out="source"))}
    assert folds["three"].classes == ("covid", "normal")
    assert set(folds["three"].held.table["label"]) == {"virus"}
    assert folds["one"].classes == ("covid", "normal", "virus")


def test_a_source_without_which_nothing_can_be_trained_says_why() -> None:
    rows = patients(source="one") + [("covid", f"c{i}", "two") for i in range(4)]
    one, two = plan_folds(manifest(rows), Protocol(leave_out="source"))
    assert "two classes" in one.problem
    assert len(one.split) == len(one.side.table) == 0
    assert len(one.held.table) == 36
    assert not two.problem


def test_what_cannot_be_dealt_out_is_refused() -> None:
    with pytest.raises(BadSplit, match="Too few patients of class covid for 5 folds"):
        plan_folds(manifest(patients(each=3)), Protocol(folds=5))
    with pytest.raises(BadSplit, match="patients of class"):
        plan_folds(manifest(patients(each=2)), Protocol(folds=2))  # nobody is left for the validation part
    with pytest.raises(BadSplit, match="At least 2 are needed in a column source"):
        plan_folds(manifest(patients()), Protocol(leave_out="source"))
    rows = [("covid", f"c{i}", "one") for i in range(4)] + [("normal", f"n{i}", "two") for i in range(4)]
    with pytest.raises(BadSplit, match="No source can be left out"):
        plan_folds(manifest(rows), Protocol(leave_out="source"))


def test_the_file_of_folds_names_every_image_once(tmp_path: Path) -> None:
    whole = manifest([*patients(source="one"), *patients(source="two"), ("covid", "x", "")])
    folds = plan_folds(whole, Protocol(leave_out="source"))
    write_folds(tmp_path / "folds.csv", folds, whole)
    table = pd.read_csv(tmp_path / "folds.csv", dtype=str, keep_default_na=False)
    assert list(table.columns) == ["image", "label", "patient_id", "group", "fold"]
    assert table["image"].tolist() == whole.table["image"].tolist()
    assert table["fold"].tolist() == whole.table["source"].tolist(), "an image of no source is in no fold"
