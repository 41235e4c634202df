"""Grad-CAM by forward operations equals Grad-CAM by automatic differentiation."""

import numpy as np
import pytest

pytest.importorskip("tensorflow")

import keras
import tensorflow as tf

from covid_xray.config import Training
from covid_xray.models import zoo
from covid_xray.models.heatmap_head import with_class_maps

SMALL = {"image_size": 48, "blocks": (8, 12, 16), "dense": (24, 20)}


def network(**settings: object) -> keras.Model:
    keras.utils.set_random_seed(3)
    model = zoo.build(Training(**{**SMALL, **settings}), 3)
    # Biases that are not zero, so that a formula which forgets them cannot pass.
    for variable in model.trainable_variables:
        if variable.name == "bias":
            variable.assign(np.random.default_rng(1).normal(0, 0.05, variable.shape))
    return model


def grad_cam(model: keras.Model, convolution: str, last_hidden: str, images: np.ndarray) -> np.ndarray:
    """The method of the paper, with the gradients of TensorFlow."""
    inside = keras.Model(
        model.input, [model.get_layer(convolution).output, model.get_layer(last_hidden).output], name="inside"
    )
    kernel, bias = model.get_layer("probabilities").get_weights()
    maps = []
    for index in range(kernel.shape[1]):
        with tf.GradientTape() as tape:
            features, hidden = inside(images)
            score = tf.reduce_sum(hidden @ kernel[:, index : index + 1] + bias[index])
        alpha = tf.reduce_mean(tape.gradient(score, features), axis=(1, 2))
        maps.append(tf.nn.relu(tf.einsum("nk,nhwk->nhw", alpha, features)))
    return np.stack([m.numpy() for m in maps], axis=1)


@pytest.mark.parametrize(
    ("settings", "last_hidden"),
    [
        ({}, "dense2"),
        ({"dense": (24,)}, "dense1"),
        ({"dense": ()}, "pool"),
        ({"blocks": (8,), "image_size": 32}, "dense2"),
    ],
)
def test_class_maps_equal_automatic_differentiation(settings: dict, last_hidden: str) -> None:
    model = network(**settings)
    images = np.random.default_rng(0).uniform(0, 255, (5, *model.input.shape[1:])).astype("float32")
    convolution = [layer.name for layer in model.layers if isinstance(layer, keras.layers.Conv2D)][-1]
    expected = grad_cam(model, convolution, last_hidden, images)
    received = with_class_maps(model)(images)["class_maps"].numpy()
    assert received.shape == expected.shape
    assert expected.max() > 0, "a test on empty maps would prove nothing"
    np.testing.assert_allclose(received, expected, atol=1e-4 * max(1.0, expected.max()), rtol=0)


def test_original_head_at_full_size() -> None:
    model = zoo.build(Training(), 3)
    outputs = with_class_maps(model)
    assert outputs.output["class_maps"].shape == (None, 3, 28, 28)
    assert outputs.output["embedding"].shape == (None, 512)


def test_outputs_leave_the_probabilities_alone() -> None:
    model = network()
    images = np.random.default_rng(0).uniform(0, 255, (2, 48, 48, 1)).astype("float32")
    np.testing.assert_array_equal(model(images).numpy(), with_class_maps(model)(images)["probabilities"].numpy())


def test_a_head_of_another_kind_is_refused() -> None:
    image = keras.Input((8, 8, 1))
    model = keras.Model(image, keras.layers.GlobalMaxPooling2D()(image))
    with pytest.raises(ValueError, match="No class maps"):
        with_class_maps(model)
