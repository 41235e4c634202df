"""Images that made a network are recognised under any name and kept out of a test."""

from pathlib import Path

import pandas as pd
import pytest

from covid_xray.data.manifest.manifest import read_manifest
from covid_xray.errors import InputRefused
from covid_xray.evaluation.schema_base import TrainedImages
from covid_xray.evaluation.trained_images import (
    find_trained,
    kept_sentence,
    leave_out_trained,
    left_out_sentence,
    merge_trained,
)
from support.bundles import make_bundle
from support.copies import copies, draw_classes, knowing


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return knowing(tmp_path / "run", draw_classes(tmp_path / "trained", each=4), n000="val", n001="test")


def test_copies_are_recognised_by_their_part_and_new_images_are_not(run: Path, tmp_path: Path) -> None:
    mixed = copies(tmp_path / "trained", draw_classes(tmp_path / "mixed", each=3, first=50))
    found = find_trained(run / "bundle", read_manifest(mixed))
    assert found.counts == {"train": 6, "val": 3}
    assert found.listed == {"train": 6, "val": 3}
    assert found.how.count("near") == 9
    same = find_trained(run / "bundle", read_manifest(tmp_path / "trained", check=False))
    assert (same.counts, set(same.how)) == ({"train": 6, "val": 3}, {"file", ""})


def test_an_image_that_one_of_several_networks_knows_is_known(run: Path, tmp_path: Path) -> None:
    other = knowing(tmp_path / "other", draw_classes(tmp_path / "elsewhere", each=4, first=70))
    mixed = copies(tmp_path / "trained", draw_classes(tmp_path / "mixed", each=3, first=50))
    manifest = read_manifest(copies(tmp_path / "elsewhere", mixed))
    each = [find_trained(folder / "bundle", manifest) for folder in (run, other)]
    both = merge_trained(each)
    assert sum(both.counts.values()) == sum(sum(one.counts.values()) for one in each) > each[0].counts["train"]
    assert both.listed == {"train": 6 + 12, "val": 3}
    assert merge_trained([each[0], find_trained(make_bundle(tmp_path / "without"), manifest)]).listed is None
    assert merge_trained(each[:1]) is each[0]


def test_they_are_left_out_counted_and_said(run: Path, tmp_path: Path) -> None:
    manifest = read_manifest(copies(tmp_path / "trained", draw_classes(tmp_path / "mixed", each=3, first=50)))
    kept, facts = leave_out_trained(manifest, find_trained(run / "bundle", manifest))
    TrainedImages.model_validate(facts)
    assert len(kept.table) == 12  # nine new ones, and three copies of test images
    assert facts["recognised"] == {"train": 6, "val": 3}
    assert facts["by"] == {"near": 9}
    assert kept_sentence(facts) == ""
    assert left_out_sentence(facts).startswith("9 images left out")
    assert "6 train, 3 val" in left_out_sentence(facts)


def test_kept_ones_are_marked_and_named_in_red(run: Path, tmp_path: Path) -> None:
    manifest = read_manifest(tmp_path / "trained")
    kept, facts = leave_out_trained(manifest, find_trained(run / "bundle", manifest), keep={"val"})
    assert kept.table["trained_as"].value_counts().to_dict() == {"val": 3, "": 3}
    assert facts["kept"] == {"val": 3}
    assert "3 images of those scored made this network (3 val)" in kept_sentence(facts)
    assert "6 images left out" in left_out_sentence(facts)


def test_nothing_left_is_refused(run: Path, tmp_path: Path) -> None:
    manifest = read_manifest(tmp_path / "trained")
    only = manifest.take(~manifest.table["image"].str.endswith("001.png").to_numpy())
    with pytest.raises(InputRefused, match="--with-trained") as refused:
        leave_out_trained(only, find_trained(run / "bundle", only))
    assert refused.value.code == "all-trained"


def test_without_a_list_it_says_that_nothing_can_be_known_or_goes_by_name(tmp_path: Path) -> None:
    manifest = read_manifest(draw_classes(tmp_path / "data", each=2))
    bundle = make_bundle(tmp_path / "old")
    kept, facts = leave_out_trained(manifest, find_trained(bundle, manifest))
    assert len(kept.table) == 6
    assert "unknown" in left_out_sentence(facts)
    split = pd.Series({image: "train" if "000" in image else "test" for image in manifest.table["image"]})
    found = find_trained(bundle, manifest, split=split)
    assert (found.counts, set(found.how)) == ({"train": 3}, {"name", ""})
