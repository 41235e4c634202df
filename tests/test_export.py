"""A Keras network becomes a bundle only when ONNX Runtime gives the same answers, and knows its own references."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow")

import keras

from covid_xray.bundle import selftest
from covid_xray.bundle.bundle import load_bundle
from covid_xray.bundle.onnx_file import ALIGNED, has_external_data, largest_weight
from covid_xray.bundle.predictor import Predictor
from covid_xray.config import Training
from covid_xray.errors import InputRefused
from covid_xray.models import zoo
from covid_xray.training import export as program
from covid_xray.training.export import ExportFailed, export, export_run, probe_images

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
    with pytest.raises(InputRefused, match=r"manifest\.json"):
        export_run(tmp_path, tmp_path / "bundle")
