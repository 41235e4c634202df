"""A Keras network becomes a bundle only when ONNX Runtime gives the same answers, and knows its own references."""

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow")

import keras

from covid_xray.bundle.bundle import load_bundle, networks, record, write_bundle
from covid_xray.bundle.onnx_file import ALIGNED, has_external_data, largest_weight
from covid_xray.config import Training
from covid_xray.errors import InputRefused
from covid_xray.inference import selftest
from covid_xray.inference.predictor import Predictor
from covid_xray.models import zoo
from covid_xray.training.onnx import export as program
from covid_xray.training.onnx.export import ExportFailed, export, export_run, probe_images
from support.bundles import network

pytestmark = pytest.mark.slow
FACTS = {"name": "vgg", "version": "1", "classes": ["covid", "normal", "virus"]}
SETTINGS = Training(image_size=32, blocks=(8,), convolutions=1, dense=(96,))


@pytest.fixture(scope="module")
def model() -> keras.Model:
    keras.utils.set_random_seed(0)
    return zoo.build(SETTINGS, 3)


def test_the_bundle_is_the_network(model: keras.Model, tmp_path: Path) -> None:
    images = probe_images(32, 32)
    parity = export(model, tmp_path / "bundle", facts=FACTS, images=images)
    assert max(parity.values()) <= 1e-4
    received = Predictor(tmp_path / "bundle", threads=1).run(images)["probabilities"]
    np.testing.assert_allclose(received, model.predict(images[..., None], verbose=0), atol=1e-5)


def test_it_passes_its_own_test_and_lies_aligned(model: keras.Model, tmp_path: Path) -> None:
    export(model, tmp_path / "bundle", facts=FACTS, images=probe_images(32, 32))
    assert selftest.check(Predictor(tmp_path / "bundle", threads=1)).problems == ()
    data = load_bundle(tmp_path / "bundle").model
    assert not has_external_data(data)
    assert largest_weight(data) % ALIGNED == 0


def test_no_parity_no_bundle(model: keras.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "TOLERANCE", -1.0)
    with pytest.raises(ExportFailed, match="Keras"):
        export(model, tmp_path / "bundle", facts=FACTS, images=probe_images(32, 32))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match="Not a finished run"):
        export_run(tmp_path, tmp_path / "bundle")


def finished(model: keras.Model, run: Path) -> Path:
    run.mkdir()
    model.save(run / "model.keras")
    (run / "manifest.json").write_text(json.dumps({"bundle": FACTS}))
    export(model, run / "bundle", facts=FACTS, images=probe_images(32, 32))
    return run


def test_the_same_weights_are_the_same_file_and_keep_what_was_fitted_on_it(model: keras.Model, tmp_path: Path) -> None:
    run = finished(model, tmp_path / "run")
    fitted = {
        "temperature": 1.5, "calibration": {"part": "val"},
        "conformal": {"method": "lac", "coverage": 0.9, "quantiles": {}},
        "operating_points": {"covid": {"sha256": "x", "points": {}}}, "metrics": {"part": "test"},
    }  # fmt: skip
    record(run / "bundle", **fitted)
    before = load_bundle(run / "bundle")
    for target in (tmp_path / "elsewhere", run / "bundle"):
        export_run(run, target)
        after = load_bundle(target)
        assert after.sha256 == before.sha256
        assert {name: after.facts[name] for name in fitted} == fitted


def test_other_weights_keep_nothing_that_was_fitted(model: keras.Model, tmp_path: Path) -> None:
    run = finished(model, tmp_path / "run")
    record(run / "bundle", temperature=1.5, operating_points={"covid": {"points": {}}})
    other = keras.models.clone_model(model)  # new weights
    other.save(run / "model.keras")
    export_run(run, run / "bundle")
    after = load_bundle(run / "bundle")
    assert (after.temperature, after.facts["operating_points"], after.facts["metrics"]) == (1.0, {}, None)


def test_the_clinical_input_of_the_same_network_is_kept(model: keras.Model, tmp_path: Path) -> None:
    run = finished(model, tmp_path / "run")
    before = load_bundle(run / "bundle")
    age = {"name": "age", "unit": "years", "low": 0, "high": 120, "used": True, "reason": "", "classes": ["a", "b"]}
    fusion = {"version": 1, "model_sha256": before.sha256, "fields": [age]}
    write_bundle(
        run / "bundle", **{**networks(run / "bundle"), "fusion": network()}, facts={**before.facts, "fusion": fusion}
    )
    export_run(run, tmp_path / "again")
    after = load_bundle(tmp_path / "again")
    assert after.fusion is not None
    assert after.fusion.model == network()
    keras.models.clone_model(model).save(run / "model.keras")
    export_run(run, tmp_path / "other")
    assert load_bundle(tmp_path / "other").fusion is None
