"""From a folder or DataFrame to a bundle and a report in five lines of Python."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

import covid_xray
from covid_xray import audit, evaluate, read, split, train
from covid_xray.api.results import Run
from covid_xray.config import Training
from covid_xray.errors import InputRefused, UsageError
from support.datasets import draw_folders

from .conftest import SMALL

pytestmark = pytest.mark.slow


def table(pictures: Path) -> pd.DataFrame:
    paths = sorted(pictures.rglob("*.png"))
    return pd.DataFrame({"image": map(str, paths), "label": [path.parent.name for path in paths]})


def test_a_data_frame_is_read_filtered_and_split(pictures: Path) -> None:
    data = read(table(pictures), images="/", labels=["covid", "normal"], progress=False)
    assert data.classes == ("covid", "normal")
    parts = split(data, val_fraction=0.2, test_fraction=0.2, calibration_fraction=0.0, seed=3)
    assert parts.value_counts().to_dict() == {"train": 24, "val": 8, "test": 8}
    assert split(data, calibration_fraction=0.0, seed=3).index.equals(parts.index)
    with pytest.raises(UsageError, match="No such setting: val_fractoin"):
        split(data, val_fractoin=0.2)


def test_five_lines_give_a_bundle_and_a_report(run: Run, pictures: Path) -> None:
    report = evaluate(run, pictures, rounds=20, progress=False)
    tested = run.split[run.split == "test"].index
    assert set(report.predictions["image"]) == set(tested)
    assert report.folder == run.folder
    assert json.loads((run.bundle / "bundle.json").read_text())["metrics"]["part"] == "test"
    assert report.metrics["figures"]["accuracy"]["value"] >= 0.7


def test_images_that_made_the_network_are_recognised_whatever_they_are_called(run: Run, tmp_path: Path) -> None:
    known = run.split[run.split == "train"].index[:6]
    data = draw_folders(tmp_path / "data", each=30)
    for number, image in enumerate(known):
        source = data / image
        source.rename(source.with_name(f"renamed-{number}.png"))
    report = evaluate(run.bundle, data, rounds=20, progress=False)
    assert report.metrics["n_images"] == 90 - (run.split != "test").sum()
    assert report.metrics["trained_images"]["recognised"]["train"] == (run.split == "train").sum()
    with pytest.raises(InputRefused, match="All 6 images were used"):
        evaluate(run.bundle, read(data, where=[], progress=False).take(
            [f"{Path(image).parent}/renamed-{number}.png" for number, image in enumerate(known)]
        ), progress=False)  # fmt: skip


def test_a_report_of_a_bundle_lives_as_long_as_it_is_held(run: Run, pictures: Path, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="made this network"):
        report = evaluate(run.bundle, pictures, with_trained=True, rounds=20, progress=False)
    folder = report.folder
    assert report.html.is_file()
    assert not (run.bundle / "metrics.json").exists()
    del report
    assert not folder.exists()
    kept = evaluate(run.bundle, pictures, output=tmp_path / "kept", rounds=20, progress=False)
    assert (tmp_path / "kept" / "report.html") == kept.html


def test_a_keras_model_is_trained_and_its_own_weights_stay(pictures: Path, tmp_path: Path) -> None:
    import keras
    from keras import layers

    image = keras.Input((32, 32, 3))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(8, 3, activation="relu")(layers.Rescaling(1 / 255)(image)))
    model = keras.Model(image, layers.Dense(3, activation="softmax")(x), name="mine")
    before = model.get_weights()[0].copy()
    found = train(pictures, output=tmp_path / "run", model=model, progress=False, image_size=32, epochs=1)
    assert found.facts["bundle"]["name"] == "mine"
    assert (model.get_weights()[0] == before).all()
    assert found.predictor().predict(pictures / "covid" / "covid-00.png").probabilities.keys() == {
        "covid", "normal", "virus"}  # fmt: skip


def test_a_run_is_resumed_with_its_own_settings(run: Run, pictures: Path) -> None:
    assert train(pictures, output=run.folder, resume=True, progress=False).bundle == run.bundle
    with pytest.raises(UsageError, match="already holds a run"):
        train(pictures, output=run.folder, progress=False, **SMALL)


def test_wrong_settings_are_refused_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Did you mean epochs"):
        train(tmp_path / "none", output=tmp_path / "run", epoch=3)
    assert not (tmp_path / "run").exists()


def test_an_audit_returns_its_facts(run: Run, pictures: Path, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="made this network"):
        found = audit(run, pictures, part="all", output=tmp_path, progress=False, rounds=20, heatmaps=0, lungs="box")
    assert found.verdict == found.facts["verdict"]["line"]
    assert "auroc_macro" in " ".join(found.to_frame().columns)
    assert "examples" in found.figures
    with pytest.raises(UsageError, match="No such setting of an audit"):
        audit(run, pictures, part="val", output=tmp_path, progress=False, images_at_most=3)


def test_public_names_are_there_and_documented() -> None:
    for name in covid_xray.__all__:
        assert name == "__version__" or getattr(covid_xray, name).__doc__
    assert set(Training.model_fields) >= set(SMALL)


def test_a_run_folder_serves_wherever_a_bundle_does(run: Run, tmp_path: Path) -> None:
    assert covid_xray.load_bundle(run.folder).sha256 == covid_xray.load_bundle(run.bundle).sha256
    copy = tmp_path / "copy"
    shutil.copytree(run.bundle, copy / "bundle")
    assert covid_xray.Predictor(copy).classes == ("covid", "normal", "virus")
