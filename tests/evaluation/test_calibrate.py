"""Fitting a bundle: what is recorded is one piece, and too few images leave it as it was."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from covid_xray.bundle.bundle import load_bundle
from covid_xray.data.manifest.manifest import Manifest, read_manifest
from covid_xray.errors import InputRefused
from covid_xray.evaluation.calibrate import CalibrationSettings, describe_calibration, fit, fit_or_explain
from covid_xray.evaluation.predictions import predict_manifest
from covid_xray.inference.predictor import Predictor
from support.bundles import CLASSES, grey, make_bundle, network
from support.drawing import png


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return make_bundle(tmp_path / "bundle", model=network(sharpness=1.5))


def drawn(root: Path, count: int) -> Manifest:
    """Images of every class in turn, one in ten in the wrong folder."""
    for number, label in enumerate((CLASSES * count)[:count]):
        shown = CLASSES[(CLASSES.index(label) + 1) % 3] if number % 10 == 0 else label
        path = root / label / f"{number:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(grey(shown, seed=number)))
    return read_manifest(root)


def test_thresholds_split_the_answers_of_the_predictor_as_they_did_when_they_were_chosen(bundle, tmp_path):
    """What was counted on calibrated probabilities is counted again on the answers of the bundle: to the last image."""
    manifest = drawn(tmp_path / "data", 75)
    facts = fit(bundle, manifest, part="calibration", wishes=CalibrationSettings(rounds=20))
    assert load_bundle(bundle).facts["operating_points"] == facts["operating_points"]
    stored = facts["operating_points"]["covid"]["points"]
    table = predict_manifest(Predictor(bundle), manifest).table
    answers = Predictor(bundle).predict_many([manifest.path(image) for image in table["image"]])
    passed = [answer.operating_points["covid"] for answer in answers]
    positive = (table["label"] == "covid").to_numpy()
    for name, point in stored.items():
        if point["threshold"] is not None:
            called = np.array([one[name] for one in passed])
            assert called[positive].mean() == point["sensitivity"]["value"]
            assert (~called[~positive]).mean() == point["specificity"]["value"]
    assert any(point["threshold"] is not None for point in stored.values())


def test_a_bundle_calibrated_with_copies_of_its_inputs_answers_with_them(bundle, tmp_path):
    manifest = drawn(tmp_path / "data", 45)
    plain = fit(bundle, manifest, part="val", wishes=CalibrationSettings(rounds=10))
    assert "tta" not in load_bundle(bundle).facts
    copied = fit(bundle, manifest, part="val", wishes=CalibrationSettings(rounds=10, tta=4))
    assert load_bundle(bundle).facts["tta"] == copied["tta"] == Predictor(bundle).tta == 4
    assert copied["temperature"] != plain["temperature"]
    fit(bundle, manifest, part="val", wishes=CalibrationSettings(rounds=10))
    assert Predictor(bundle).tta == 1


def test_fitting_twice_gives_the_same(bundle, tmp_path):
    manifest = drawn(tmp_path / "data", 66)
    assert fit(bundle, manifest, part="val", wishes=CalibrationSettings(rounds=20)) == fit(
        bundle, manifest, part="val", wishes=CalibrationSettings(rounds=20)
    )


def test_too_few_images_leave_the_bundle_as_it_was_and_are_said(bundle, tmp_path):
    manifest = drawn(tmp_path / "data", 18)
    before = (bundle / "bundle.json").read_bytes()
    with pytest.raises(InputRefused, match="at least 20"):
        fit(bundle, manifest, part="calibration")
    assert fit_or_explain(bundle, manifest, part="calibration").startswith("not calibrated: Too few images")
    assert (bundle / "bundle.json").read_bytes() == before


def test_classes_of_no_covid_have_no_points_unless_one_is_named(tmp_path):
    manifest = drawn(tmp_path / "data", 66)
    table = manifest.table.assign(label=manifest.table["label"].replace("covid", "flu"))
    folder = make_bundle(tmp_path / "flu", model=network(sharpness=1.5), classes=["flu", "normal", "virus"])
    facts = fit(folder, dataclasses.replace(manifest, table=table), part="val", wishes=CalibrationSettings(rounds=20))
    assert facts["operating_points"] == {}
    wishes = CalibrationSettings(rounds=20, positive=("flu",))
    facts = fit(folder, dataclasses.replace(manifest, table=table), part="val", wishes=wishes)
    assert set(facts["operating_points"]) == {"flu"}
    assert "flu: rule-out" in describe_calibration(facts)
