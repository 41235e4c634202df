"""Networks of keras.applications behind our input and head."""

import socket

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from covid_xray.config import Training
from covid_xray.errors import UsageError
from covid_xray.models import applications, zoo
from covid_xray.models.heatmap_head import with_class_maps


def test_every_network_of_keras_has_its_name() -> None:
    found = {name for name in dir(keras.applications) if name[0].isupper()}
    assert found == set(zoo.APPLICATIONS)


def test_every_name_is_one_of_keras() -> None:
    for name, module in zoo.APPLICATIONS.items():
        network = getattr(keras.applications, name)
        assert callable(network)
        assert callable(getattr(keras.applications, module).preprocess_input)


@pytest.mark.slow
def test_grey_input_class_maps_and_its_own_preprocessing() -> None:
    model = zoo.build(Training(model="MobileNetV2", image_size=96), 3)
    images = np.random.default_rng(0).uniform(0, 255, (2, 96, 96, 1)).astype("float32")
    outputs = with_class_maps(model)(images)
    assert outputs["class_maps"].shape == (2, 3, 3, 3)
    assert outputs["embedding"].shape == (2, 1280)
    inner = next(layer for layer in model.layers if isinstance(layer, keras.Model))
    prepared = keras.applications.mobilenet_v2.preprocess_input(np.repeat(images, 3, axis=3))
    pooled = np.asarray(inner(prepared)).mean(axis=(1, 2))
    np.testing.assert_allclose(np.asarray(outputs["embedding"]), pooled, atol=1e-4)


def test_no_internet_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("no network in this test")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    with pytest.raises(UsageError, match="internet"):
        applications.build(Training(model="MobileNetV2", image_size=96, weights="imagenet"), 3)


def test_a_file_of_weights_is_loaded_and_another_one_refused(tmp_path) -> None:
    settings = Training(model="MobileNet", image_size=32)
    keras.utils.set_random_seed(1)
    saved = keras.applications.MobileNet(include_top=False, weights=None, input_shape=(32, 32, 3))
    saved.save_weights(tmp_path / "mobilenet.weights.h5")
    model = applications.build(settings.model_copy(update={"weights": str(tmp_path / "mobilenet.weights.h5")}), 3)
    inner = next(layer for layer in model.layers if isinstance(layer, keras.Model))
    for expected, value in zip(saved.get_weights(), inner.get_weights(), strict=True):
        np.testing.assert_array_equal(value, expected)
    (tmp_path / "other.weights.h5").write_bytes(b"no HDF5")
    with pytest.raises(UsageError, match="do not fit MobileNet without its classifier"):
        applications.build(settings.model_copy(update={"weights": str(tmp_path / "other.weights.h5")}), 3)


def test_a_too_small_image_is_refused() -> None:
    with pytest.raises(UsageError, match="image_size"):
        applications.build(Training(model="InceptionV3", image_size=32), 3)
