"""The weights of an ONNX graph, back in the layers that they came from."""

import numpy as np
import onnx
import pytest

pytest.importorskip("keras")

import keras

from covid_xray.config import Training
from covid_xray.models import zoo
from covid_xray.training.onnx.export import to_onnx
from covid_xray.training.onnx.operators import Operator, operators
from covid_xray.training.onnx.storage import half_precision

VGG = Training(image_size=32, blocks=(8, 16), convolutions=1, dense=(32,))


def exported(model: keras.Model) -> bytes:
    return to_onnx(
        keras.Model(model.input, {"probabilities": model.output}), inputs=("image",), outputs=("probabilities",)
    )


@pytest.fixture(scope="module")
def vgg() -> keras.Model:
    keras.utils.set_random_seed(0)
    model = zoo.build(VGG, 3)
    model.set_weights([w + np.float32(0.01) for w in model.get_weights()])  # so that no bias is zero
    return model


def test_kernels_and_biases_come_back_exactly_and_in_order(vgg: keras.Model) -> None:
    found = operators(exported(vgg))
    layers = [layer for layer in vgg.layers if layer.weights]
    assert [layer.name for layer in layers] == ["block1_conv1", "block2_conv1", "dense1", "probabilities"]
    assert len(found) == len(layers)
    for layer, operator in zip(layers, found, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(layer.kernel), operator.kernel)
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(layer.bias), operator.shift)
        assert operator.scale is None


def test_weights_of_16_bits_are_widened(vgg: keras.Model) -> None:
    data = exported(vgg)
    weights = onnx.load_from_string(data).graph.initializer
    names = [weight.name for weight in weights if weight.data_type == onnx.TensorProto.FLOAT]
    for whole, half in zip(operators(data), operators(half_precision(data, names=names)), strict=True):
        assert half.kernel.dtype == np.float32
        np.testing.assert_array_equal(whole.kernel.astype(np.float16).astype(np.float32), half.kernel)


def test_normalisation_is_found_folded_or_behind_a_depthwise_convolution() -> None:
    """y = norm(convolution(x)) whatever the converter made of it."""
    keras.utils.set_random_seed(1)
    image = keras.Input((16, 16, 3), name="image")
    x = keras.layers.Conv2D(4, 3, padding="same", use_bias=False, name="conv")(image)
    x = keras.layers.ReLU(6.0)(keras.layers.BatchNormalization(name="norm")(x))
    x = keras.layers.DepthwiseConv2D(3, padding="same", use_bias=False, name="depthwise")(x)
    x = keras.layers.ReLU(6.0)(keras.layers.BatchNormalization(name="depthwise_norm")(x))
    x = keras.layers.Dense(2, activation="softmax", name="probabilities")(keras.layers.GlobalAveragePooling2D()(x))
    model = keras.Model(image, x)
    random = np.random.default_rng(0)
    for name in ("norm", "depthwise_norm"):
        model.get_layer(name).set_weights([random.uniform(0.5, 2, 4) for _ in range(4)])
    conv, depthwise, head = operators(exported(model))
    for name, operator, axis in (("conv", conv, -1), ("depthwise", depthwise, -2)):
        norm = model.get_layer("norm" if name == "conv" else "depthwise_norm")
        gamma, beta, mean, variance = norm.get_weights()
        factor = gamma / np.sqrt(variance + norm.epsilon)
        scale = np.ones(4) if operator.scale is None else operator.scale
        expected = np.moveaxis(keras.ops.convert_to_numpy(model.get_layer(name).kernel), axis, -1) * factor
        np.testing.assert_allclose(np.moveaxis(operator.kernel, axis, -1) * scale, expected, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(operator.shift, beta - mean * factor, rtol=1e-5, atol=1e-6)
    assert head.kernel.shape == (4, 2)


def test_products_and_sums_follow_each_other() -> None:
    two = np.full(2, 2, np.float32)
    operator = Operator(np.ones((1, 2), np.float32)).plus(two).times(two).plus(two).times(two)
    assert operator.scale is not None
    assert operator.shift is not None
    assert (operator.scale.tolist(), operator.shift.tolist()) == ([4, 4], [12, 12])  # ((x + 2) * 2 + 2) * 2
