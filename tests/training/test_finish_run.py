"""What a run knows of itself at its end: its data by part and class, and how it came about."""

import json
from pathlib import Path

import pandas as pd
import pytest

pytest.importorskip("tensorflow")

from covid_xray.config import Training
from covid_xray.data.manifest.manifest import Manifest, fingerprint, read_manifest
from covid_xray.training.finish_run import calibrate_bundle, describe_data, write_run_manifest
from support.bundles import make_bundle
from support.datasets import draw_folders


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    found = read_manifest(draw_folders(tmp_path / "data", each=4))
    found.table["source"] = ["a", "b"] * 6
    return found


@pytest.fixture
def split(manifest: Manifest) -> pd.Series:
    images = manifest.table["image"]
    return pd.Series(["train", "train", "val", "test"] * 3, index=images).sample(frac=1, random_state=0)


def test_data_are_counted_by_part_class_and_source(manifest: Manifest, split: pd.Series) -> None:
    facts = describe_data(manifest, split)
    assert facts["fingerprint"] == fingerprint(manifest)
    assert {part: sum(by.values()) for part, by in facts["images"].items()} == {"train": 6, "val": 3, "test": 3}
    assert facts["images"]["train"] == {"covid": 2, "normal": 2, "virus": 2}
    assert sum(facts["source"].values()) == 6
    assert "license" not in facts


def test_without_a_calibration_part_the_bundle_stays_as_it_is(
    manifest: Manifest, split: pd.Series, tmp_path: Path
) -> None:
    bundle = make_bundle(tmp_path / "bundle")
    before = (bundle / "bundle.json").read_bytes()
    said = calibrate_bundle(bundle, manifest, split, progress=lambda *_: None)
    assert said == "not calibrated: the split has no calibration part"
    assert (bundle / "bundle.json").read_bytes() == before


def test_the_manifest_of_the_run_says_how_it_came_about(tmp_path: Path) -> None:
    facts = {"training": {"settings": Training().model_dump(mode="json")}}
    write_run_manifest(tmp_path, facts=facts, parity={"probabilities": 1e-6}, seconds=1.23, ended="1 epochs done",
                       calibrated="not calibrated")  # fmt: skip
    written = json.loads((tmp_path / "manifest.json").read_text(encoding="utf-8"))
    assert written["bundle"] == facts
    assert (written["seconds"], written["ended"], written["calibrated"]) == (1.2, "1 epochs done", "not calibrated")
    assert written["packages"]["keras"]
    assert written["machine"]["cores"] >= 1
    assert written["command"]
