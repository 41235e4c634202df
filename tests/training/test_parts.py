"""The split of a run: given, or made with a calibration part where there are enough images."""

from pathlib import Path

import pandas as pd

from covid_xray.config import Training
from covid_xray.data.manifest.manifest import Manifest, read_manifest
from covid_xray.data.split.split import write_split
from covid_xray.training.parts import NO_CALIBRATION, split_for
from support.datasets import draw_folders


def manifest(folder: Path, each: int) -> Manifest:
    return read_manifest(draw_folders(folder, each=each))


def test_too_few_images_have_no_calibration_part(tmp_path: Path) -> None:
    said: list[str] = []
    parts = split_for(manifest(tmp_path, 10), Training(), say=lambda text, warning: said.append(text))
    assert set(parts) == {"train", "val", "test"}
    assert said == [NO_CALIBRATION]


def test_enough_images_have_one(tmp_path: Path) -> None:
    parts = split_for(manifest(tmp_path, 30), Training(calibration_fraction=0.3))
    assert (parts == "calibration").sum() >= 20


def test_a_given_split_is_taken_as_it_is(tmp_path: Path) -> None:
    data = manifest(tmp_path / "data", 4)
    given = pd.Series("train", index=pd.Index(data.table["image"], name="image"), name="split")
    write_split(tmp_path / "split.csv", given, data)
    assert split_for(data, Training(), given=tmp_path / "split.csv").equals(given)
