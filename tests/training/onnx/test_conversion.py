"""Every network of keras.applications, and a user's own, can be exported before it is trained."""

import os
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow")

import keras
from keras import layers

from covid_xray.config import Training
from covid_xray.errors import UsageError
from covid_xray.models import own, zoo
from covid_xray.training.onnx import conversion
from covid_xray.training.onnx.export import ExportFailed, prove_export, to_onnx

pytestmark = pytest.mark.slow
# The first needs its preprocessing's constants inside the graph, the second grouped convolutions and the exact GELU.
# All families take some minutes: COVID_XRAY_EXPORTS=all.
SOME = ("vgg16", "convnext")
FAMILIES = tuple(zoo.FAMILIES) if os.environ.get("COVID_XRAY_EXPORTS") == "all" else SOME


@pytest.mark.parametrize("family", FAMILIES)
def test_the_smallest_network_of_a_family_is_the_same_in_onnx_runtime(family: str) -> None:
    parity = prove_export(Training(model=zoo.FAMILIES[family][0], image_size=96), classes=3)
    assert set(parity) == {"probabilities", "class_maps", "embedding"}  # class maps of each
    assert max(parity.values()) <= 1e-4


def constants_and_dense(size: int = 32, *, groups: int = 1) -> keras.Model:
    image = keras.Input((size, size, 1), name="image")
    mean = keras.ops.convert_to_tensor(np.full((size, size, 1), 3, np.float32))
    x = layers.Conv2D(4, 3, groups=groups, activation="gelu")(image - mean)
    x = layers.Flatten()(x)
    x = layers.Dense(400, activation="relu")(x)
    return keras.Model(image, {"answer": layers.Dense(3, activation="softmax")(x)})


def test_captured_constants_and_large_kernels_are_initializers() -> None:
    import onnx
    import onnxruntime

    model = constants_and_dense()
    data = to_onnx(model, inputs=("image",), outputs=("answer",))
    graph = onnx.load_from_string(data).graph
    assert [tensor.name for tensor in graph.input] == ["image"]
    assert any(np.prod(tensor.dims) * 4 >= conversion.LARGE for tensor in graph.initializer)
    x = np.random.default_rng(0).uniform(0, 255, (5, 32, 32, 1)).astype(np.float32)
    (found,) = onnxruntime.InferenceSession(data).run(["answer"], {"image": x})
    np.testing.assert_allclose(found, model.predict(x, verbose=0)["answer"], atol=1e-5)


def test_kernels_of_convolutions_are_left_out_of_a_heavy_network_too(monkeypatch: pytest.MonkeyPatch) -> None:
    import onnx
    import onnxruntime

    monkeypatch.setattr(conversion, "HEAVY", 0)
    monkeypatch.setattr(conversion, "LARGE", 100)
    model = constants_and_dense()
    data = to_onnx(model, inputs=("image",), outputs=("answer",))
    assert [tensor.name for tensor in onnx.load_from_string(data).graph.input] == ["image"]
    x = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 1)).astype(np.float32)
    (found,) = onnxruntime.InferenceSession(data).run(["answer"], {"image": x})
    np.testing.assert_allclose(found, model.predict(x, verbose=0)["answer"], atol=1e-5)


def test_what_cannot_be_exported_is_refused_before_it_is_trained() -> None:
    class Strange(layers.Layer):
        def call(self, x: Any) -> Any:
            import tensorflow as tf

            return tf.math.lgamma(x)

    image = keras.Input((32, 32, 1))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3)(Strange()(image)))
    model = keras.Model(image, layers.Dense(2, activation="softmax")(x), name="strange")
    with own.handed(model) as name, pytest.raises(ExportFailed, match="cannot be exported: ONNX has no Lgamma"):
        prove_export(Training(model=name, image_size=32))


def test_a_network_without_heat_maps_is_refused() -> None:
    image = keras.Input((32, 32, 1))
    x = layers.GlobalMaxPooling2D()(layers.Conv2D(4, 3)(image))
    model = keras.Model(image, layers.Dense(2, activation="softmax")(x), name="other")
    with own.handed(model) as name, pytest.raises(UsageError, match="global average pooling or flatten"):
        prove_export(Training(model=name, image_size=32))
