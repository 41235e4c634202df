"""The training program on drawn data: it learns, stops, resumes, and never trains on the validation part."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from support.datasets import CLASSES, draw_folders

pytest.importorskip("tensorflow")

from covid_xray.bundle.bundle import load_bundle
from covid_xray.config import Training
from covid_xray.data.manifest.manifest import Manifest, read_manifest
from covid_xray.data.split.split import make_split, read_split
from covid_xray.errors import BadSplit, Busy, UsageError
from covid_xray.files import folder_lock
from covid_xray.inference.predictor import Predictor
from covid_xray.training import batches, epochs, schedule
from covid_xray.training import train as program
from covid_xray.training.recipe.divergence import TrainingDiverged
from covid_xray.training.train import train

SETTINGS = Training(
    image_size=32,
    blocks=(8, 16),
    convolutions=1,
    dense=(32,),
    epochs=14,
    batch_size=8,
    learning_rate=3e-3,
    early_stopping_patience=14,
    precision="float32",
    deterministic=True,
)


FITTED = ("temperature", "calibration", "conformal", "operating_points")


def history(run: Path) -> list[dict[str, str]]:
    """The epochs of a run, without the seconds they took."""
    rows = csv.DictReader((run / "history.csv").read_text().splitlines())
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return read_manifest(draw_folders(tmp_path_factory.mktemp("data"), each=24))


@pytest.fixture(scope="module")
def split(manifest: Manifest) -> pd.Series:
    return make_split(manifest, seed=1)


@pytest.fixture(scope="module")
def run(manifest: Manifest, split: pd.Series, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "whole"
    train(manifest, split, settings=SETTINGS, out=out)
    return out


def test_run_folder_holds_what_the_house_says(run: Path, split: pd.Series) -> None:
    names = {path.name for path in run.iterdir()} - {".lock"}
    assert names == {"config.yaml", "split.csv", "history.csv", "model.keras", "bundle", "manifest.json"}
    assert Training.model_validate(yaml.safe_load((run / "config.yaml").read_text())) == SETTINGS
    pd.testing.assert_series_equal(read_split(run / "split.csv").sort_index(), split.sort_index(), check_names=False)
    rows = history(run)
    assert [int(row["epoch"]) for row in rows] == list(range(1, len(rows) + 1))
    facts = json.loads((run / "manifest.json").read_text())
    assert facts["bundle"]["classes"] == list(CLASSES)
    assert max(facts["parity"].values()) <= 1e-4
    assert facts["packages"]["keras"]


def test_it_learns_and_the_bundle_knows_it(run: Path, manifest: Manifest, split: pd.Series) -> None:
    predictor = Predictor(run / "bundle")
    test = manifest.take((split.reindex(manifest.table["image"]) == "test").to_numpy()).table
    answers = predictor.predict_many(manifest.path(image) for image in test["image"])
    hits = [answer.label == label for answer, label in zip(answers, test["label"], strict=True)]
    assert np.mean(hits) >= 0.8


def test_the_best_epoch_is_exported_not_the_last(run: Path, manifest: Manifest, split: pd.Series) -> None:
    rows = history(run)
    best = min(rows, key=lambda row: float(row["val_loss"]))
    val = manifest.take((split.reindex(manifest.table["image"]) == "val").to_numpy()).table
    predictor = Predictor(run / "bundle")
    losses = []
    for answer, label in zip(
        predictor.predict_many([manifest.path(i) for i in val["image"]]), val["label"], strict=True
    ):
        losses.append(-np.log(max(answer.probabilities[label], 1e-7)))
    assert np.mean(losses) == pytest.approx(float(best["val_loss"]), abs=1e-3)


def test_only_the_training_part_is_trained_on(
    manifest: Manifest, split: pd.Series, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: set[str] = set()
    original = batches.training_batches

    def spy(*args, **kwargs):
        for batch in original(*args, **kwargs):
            trained.update(batch.images)
            yield batch

    monkeypatch.setattr(epochs, "training_batches", spy)
    train(manifest, split, settings=SETTINGS.model_copy(update={"epochs": 2}), out=tmp_path / "r")
    assert trained == set(split.index[split == "train"])


def test_a_calibration_part_ends_calibrated_and_is_never_trained_on(
    manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = make_split(manifest, calibration_fraction=0.3, seed=1)
    seen: set[str] = set()
    original = batches.training_batches

    def spy(*args, **kwargs):
        for batch in original(*args, **kwargs):
            seen.update(batch.images)
            yield batch

    monkeypatch.setattr(epochs, "training_batches", spy)
    short = SETTINGS.model_copy(update={"epochs": 4})
    for name in ("a", "b"):
        train(manifest, parts, settings=short, out=tmp_path / name)
    assert not seen & set(parts.index[parts == "calibration"])
    bundle = load_bundle(tmp_path / "a" / "bundle")
    count = int((parts == "calibration").sum())
    assert bundle.facts["calibration"]["part"] == bundle.facts["conformal"]["part"] == "calibration"
    assert bundle.facts["conformal"]["images"] == bundle.facts["operating_points"]["covid"]["images"] == count
    assert bundle.temperature == bundle.facts["calibration"]["temperature"]
    said = json.loads((tmp_path / "a" / "manifest.json").read_text())["calibrated"]
    assert said.startswith(f"temperature {bundle.temperature:.3f}")
    again = load_bundle(tmp_path / "b" / "bundle").facts
    assert {name: again[name] for name in FITTED} == {name: bundle.facts[name] for name in FITTED}


def test_without_or_with_too_few_calibration_images_the_bundle_says_so(
    run: Path, manifest: Manifest, split: pd.Series, tmp_path: Path
) -> None:
    facts = json.loads((run / "manifest.json").read_text())
    assert facts["calibrated"] == "not calibrated: the split has no calibration part"
    few = split.copy()
    few[[few.index[(few == "train") & few.index.str.contains(name)][0] for name in CLASSES]] = "calibration"
    train(manifest, few, settings=SETTINGS.model_copy(update={"epochs": 1}), out=tmp_path / "r")
    bundle = load_bundle(tmp_path / "r" / "bundle")
    assert (bundle.temperature, bundle.facts["conformal"]) == (1.0, None)
    said = json.loads((tmp_path / "r" / "manifest.json").read_text())["calibrated"]
    assert "Give at least 20" in said
    assert "to calibrate on: 3." in said
    assert "; no gate was stored" in said


def test_a_run_begun_before_there_was_a_setting_can_be_resumed(
    run: Path, manifest: Manifest, split: pd.Series, tmp_path: Path
) -> None:
    """A setting that a file does not name has its default; the finished run is still that run."""
    shutil.copytree(run, tmp_path / "r")
    text = (tmp_path / "r" / "config.yaml").read_text()
    (tmp_path / "r" / "config.yaml").write_text(text.replace("calibration_fraction: 0.1\n", ""))
    assert train(manifest, split, settings=SETTINGS, out=tmp_path / "r", resume=True) == tmp_path / "r" / "bundle"
    with pytest.raises(UsageError, match="other settings"):
        train(manifest, split, settings=SETTINGS.model_copy(update={"seed": 5}), out=tmp_path / "r", resume=True)


class Stopped(Exception):
    """Stands for a kill in the middle of an epoch."""


@pytest.mark.parametrize("stop_at", ["epoch 3/14", "epoch 9/14"])
def test_a_stopped_run_ends_where_the_whole_one_does(
    run: Path, manifest: Manifest, split: pd.Series, tmp_path: Path, stop_at: str
) -> None:
    def stop(stage: str, done: int, total: int, note: str) -> None:
        if stage == stop_at and done == 2:
            raise Stopped

    with pytest.raises(Stopped):
        train(manifest, split, settings=SETTINGS, out=tmp_path / "r", progress=stop)
    train(manifest, split, settings=SETTINGS, out=tmp_path / "r", resume=True)
    whole = json.loads((run / "bundle" / "bundle.json").read_text())
    resumed = json.loads((tmp_path / "r" / "bundle" / "bundle.json").read_text())
    assert resumed["training"]["best_loss"] == whole["training"]["best_loss"]
    assert history(tmp_path / "r") == history(run)
    import keras

    pairs = (keras.saving.load_model(folder / "model.keras").get_weights() for folder in (run, tmp_path / "r"))
    for expected, received in zip(*pairs, strict=True):
        np.testing.assert_array_equal(expected, received)


def test_resume_refuses_another_recipe(manifest: Manifest, split: pd.Series, tmp_path: Path) -> None:
    def stop(stage: str, done: int, total: int, note: str) -> None:
        if stage == "epoch 2/14" and done == total:
            raise Stopped

    with pytest.raises(Stopped):
        train(manifest, split, settings=SETTINGS, out=tmp_path / "r", progress=stop)
    with pytest.raises(UsageError, match="was started with"):
        train(manifest, split, settings=SETTINGS.model_copy(update={"seed": 9}), out=tmp_path / "r", resume=True)


def test_a_run_folder_is_not_overwritten(run: Path, manifest: Manifest, split: pd.Series, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--resume"):
        train(manifest, split, settings=SETTINGS, out=run)
    with pytest.raises(UsageError, match="No unfinished run"):
        train(manifest, split, settings=SETTINGS, out=tmp_path / "new", resume=True)


def test_two_trainers_on_one_folder(manifest: Manifest, split: pd.Series, tmp_path: Path) -> None:
    with folder_lock(tmp_path / "r"), pytest.raises(Busy, match="in use by process"):
        train(manifest, split, settings=SETTINGS, out=tmp_path / "r")


def test_an_overlapping_split_is_refused(manifest: Manifest, split: pd.Series, tmp_path: Path) -> None:
    table = manifest.table.assign(patient_id=["one" if i < 30 else f"p{i}" for i in range(len(manifest.table))])
    with pytest.raises(BadSplit, match="1 patients are in two parts"):
        train(Manifest(table, manifest.root, manifest.quarantine), split, settings=SETTINGS, out=tmp_path / "r")


def test_a_run_that_diverges_says_so(manifest: Manifest, split: pd.Series, tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"learning_rate": 1e38, "epochs": 2})
    with pytest.raises(TrainingDiverged, match="learning_rate"):
        train(manifest, split, settings=settings, out=tmp_path / "r")


def test_a_longer_run_may_follow(manifest: Manifest, split: pd.Series, tmp_path: Path) -> None:
    """The number of epochs is not part of a run's identity: a stopped run may be given more."""
    first = SETTINGS.model_copy(update={"epochs": 2})

    def stop(stage: str, done: int, total: int, note: str) -> None:
        if stage == "export":
            raise Stopped

    with pytest.raises(Stopped):
        train(manifest, split, settings=first, out=tmp_path / "r", progress=stop)
    longer = first.model_copy(update={"epochs": 3})
    train(manifest, split, settings=longer, out=tmp_path / "r", resume=True)
    assert len((tmp_path / "r" / "history.csv").read_text().splitlines()) == 4


def test_schedule_state_is_plain_data() -> None:
    json.dumps(vars(schedule.start(SETTINGS)))


def test_a_run_knows_how_it_came_about(run: Path, manifest: Manifest, split: pd.Series) -> None:
    facts = json.loads((run / "manifest.json").read_text())
    counts = facts["bundle"]["training_data"]["images"]
    for part in ("train", "val", "test"):
        expected = manifest.table["label"][(split.reindex(manifest.table["image"]) == part).to_numpy()].value_counts()
        assert counts[part] == expected.to_dict()
    assert facts["seconds"] > 0
    assert facts["ended"] == "14 epochs done"
    assert facts["precision"] == "float32"
    assert facts["machine"]["cores"] >= 1
    assert facts["command"]


@pytest.mark.slow
def test_a_run_that_stays_at_chance_stops_with_advice(manifest: Manifest, split: pd.Series, tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"learning_rate": 1e-12, "epochs": 5, "chance_patience": 2})
    with pytest.raises(
        TrainingDiverged, match="after 2 epochs the network answers no better.*initializer|learning_rate"
    ):
        train(manifest, split, settings=settings, out=tmp_path / "run")
    assert (tmp_path / "run" / "history.csv").read_text().count("\n") == 3


def test_a_small_machine_is_named_before_the_first_epoch(
    manifest: Manifest, split: pd.Series, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[tuple[str, str]] = []
    monkeypatch.setattr(program, "available", lambda: 1000)
    program.prepare(manifest, split, settings=SETTINGS, out=tmp_path, cache=None,
                     progress=lambda stage, done, total, note: said.append((stage, note)))  # fmt: skip
    assert any(stage == "memory" and "may be killed" in note for stage, note in said)
