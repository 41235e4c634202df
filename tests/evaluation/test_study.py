"""A study chooses its images, says what it left out, and records the figures of a whole test part."""

import dataclasses
from pathlib import Path

import pandas as pd
import pytest

from covid_xray.data.manifest.manifest import Manifest, read_manifest
from covid_xray.errors import InputRefused, UsageError
from covid_xray.evaluation.study import Study, choose, nothing, run_study, without_trained
from covid_xray.inference.predictor import Predictor
from support.bundles import make_bundle, network
from support.datasets import draw_folders


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return read_manifest(draw_folders(tmp_path_factory.mktemp("study"), each=6))


def split_file(folder: Path, data: Manifest, parts: list[str]) -> Path:
    frame = pd.DataFrame({"image": data.table["image"], "split": (parts * 20)[: len(data.table)]})
    frame.to_csv(folder / "split.csv", index=False)
    return folder / "split.csv"


def test_the_test_part_is_chosen_where_there_is_one(data: Manifest, tmp_path: Path) -> None:
    chosen, part = choose(data, split_file(tmp_path, data, ["train", "test"]), part=None)
    assert (part, len(chosen.table)) == ("test", 9)
    assert choose(data, split_file(tmp_path, data, ["train", "val"]), part=None)[1] == "val"
    assert choose(data, tmp_path / "none.csv", part=None)[1] == "all"


def test_a_part_that_is_not_there_is_refused(data: Manifest, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No images of the calibration part"):
        choose(data, split_file(tmp_path, data, ["train", "val"]), part="calibration")
    with pytest.raises(UsageError, match="there is no val part"):
        choose(data, tmp_path / "none.csv", part="val")


def test_images_of_an_uncertain_part_are_refused(data: Manifest, tmp_path: Path) -> None:
    file = split_file(tmp_path, data, ["train", "test"])
    file.write_text("\n".join(file.read_text().splitlines()[:6]) + "\n")
    with pytest.raises(InputRefused, match="lists only 5 of the 18"):
        choose(data, file, part=None)


def test_a_bundle_is_evaluated_on_everything(data: Manifest, tmp_path: Path) -> None:
    said: list[tuple[str, bool]] = []
    bundle = make_bundle(tmp_path / "bundle")
    study = Study(bundle, tmp_path / "out", rounds=10)
    metrics = run_study(study, Predictor(bundle), data, say=lambda *words: said.append(words))
    assert metrics["n_images"] == 18
    assert (tmp_path / "out" / "report.html").is_file()
    assert said == [
        ("The bundle does not list the images it was trained on, so whether some of these are among them is unknown.",
         False)]  # fmt: skip
    nothing("silence", True)


def test_several_bundles_are_evaluated_together_without_the_images_of_any(data: Manifest, tmp_path: Path) -> None:
    """The first run's split chooses the part; what another one was trained on is left out of it."""
    runs = [tmp_path / "a", tmp_path / "b"]
    for number, (run, parts) in enumerate(zip(runs, (["test"] * 18, ["train", "test", "test"]), strict=True)):
        make_bundle(run / "bundle", model=network(sharpness=1 + number), name=run.name)
        split_file(run, data, parts)
    before = (runs[0] / "bundle" / "bundle.json").read_bytes()
    study = Study(runs[0], tmp_path / "out", others=(runs[1],), rounds=10)
    metrics = run_study(study, Predictor(runs), data)
    assert metrics["n_images"] == 12
    assert metrics["trained_images"]["recognised"] == {"train": 6}
    assert metrics["model"]["name"] == "a + b"
    assert metrics["calibration"]["temperature"] == 1.0
    assert metrics["model"]["sha256"] in (tmp_path / "out" / "report.md").read_text()
    assert (runs[0] / "bundle" / "bundle.json").read_bytes() == before
    with pytest.raises(UsageError, match="belong to none of their folders"):
        run_study(dataclasses.replace(study, output=None), Predictor(runs), data)


def test_images_of_the_run_are_left_out_by_name_where_nothing_else_is_known(data: Manifest, tmp_path: Path) -> None:
    make_bundle(tmp_path / "bundle")
    split_file(tmp_path, data, ["train", "test", "test"])
    kept, facts = without_trained(tmp_path, data, part=None, taken="test", with_trained=False)
    assert len(kept.table) == 12
    assert facts["recognised"] == {"train": 6}
