"""A bundle without a list gets one from the split of its runs, and answers as before."""

import sys
from pathlib import Path

import add_trained_images
import pandas as pd
import pytest

from covid_xray.bundle.bundle import load_bundle
from covid_xray.bundle.trained import read_trained
from covid_xray.data.manifest.manifest import read_manifest
from covid_xray.evaluation.trained_images import find_trained
from support.bundles import make_bundle
from support.copies import copies, draw_classes


def test_the_list_holds_what_any_of_the_runs_trained_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = draw_classes(tmp_path / "data", each=3)
    names = read_manifest(data, check=False).table["image"]
    number = names.str[-5]
    first = pd.DataFrame({"image": names, "split": number.map({"0": "train", "1": "val", "2": "test"})})
    first.to_csv(tmp_path / "first.csv", index=False)
    first.assign(split=number.map({"0": "test", "1": "train", "2": "test"})).to_csv(
        tmp_path / "second.csv", index=False
    )
    bundle = make_bundle(tmp_path / "bundle")
    before = load_bundle(bundle)
    words = [bundle, "--data", data, "--split", tmp_path / "first.csv", "--split", tmp_path / "second.csv"]
    monkeypatch.setattr(sys, "argv", ["add_trained_images.py", *map(str, words)])
    add_trained_images.main()
    after = load_bundle(bundle)
    assert (after.sha256, after.facts["trained"]["images"]) == (before.sha256, {"train": 6})
    assert read_trained(bundle) is not None
    moved = read_manifest(copies(data, tmp_path / "elsewhere"))
    assert find_trained(bundle, moved).counts == {"train": 6}
