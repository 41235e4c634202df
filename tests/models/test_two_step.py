"""A head of two steps: probabilities that sum to 1, a threshold that the first step decides, and its class maps."""

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from keras import layers

from covid_xray.models.heatmap_head import with_class_maps
from covid_xray.models.two_step import TwoStep, class_kernel, is_two_step, with_two_steps


def trunk() -> "keras.Model":
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 1))
    x = layers.Conv2D(5, 3, activation="relu", name="features")(image)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(image, layers.Dense(2, activation="softmax", name="probabilities")(x), name="small")


def test_both_steps_make_probabilities_in_the_order_of_the_answers() -> None:
    ill = np.array([[0.8, 0.4], [0.1, 0.9]], np.float32)
    share = np.array([[0.75, 0.25], [0.5, 0.5]], np.float32)
    found = keras.ops.convert_to_numpy(TwoStep(1)([ill, share]))
    assert found == pytest.approx(np.array([[0.6, 0.3, 0.1], [0.05, 0.5, 0.45]]))
    assert TwoStep.from_config(TwoStep(2).get_config()).well == 2


def test_the_network_answers_and_says_what_it_knows() -> None:
    model = with_two_steps(trunk(), answers=3, well=1)
    assert is_two_step(model)
    assert not is_two_step(trunk())
    found = model.predict_on_batch(np.random.default_rng(0).uniform(0, 255, (4, 8, 8, 1)))
    assert found["probabilities"].sum(axis=1) == pytest.approx(1, abs=1e-6)
    assert found["known"].shape == (4, 1)


def test_every_illness_has_the_map_of_its_score_and_the_healthy_class_the_opposite_of_their_mean() -> None:
    model = with_two_steps(trunk(), answers=3, well=1)
    (kernel,) = class_kernel(model)
    own = keras.ops.convert_to_numpy(model.get_layer("ill").kernel)
    assert kernel[:, [0, 2]] == pytest.approx(own)
    assert kernel[:, 1] == pytest.approx(-own.mean(axis=1))
    x = np.random.default_rng(1).uniform(0, 255, (2, 8, 8, 1)).astype(np.float32)
    outputs = with_class_maps(model).predict_on_batch(x)
    features = keras.Model(model.input, model.get_layer("features").output).predict_on_batch(x)
    expected = np.maximum(np.einsum("nhwk,k->nhw", features, own[:, 0]) / features[0, ..., 0].size, 0)
    assert outputs["class_maps"][:, 0] == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_a_network_without_pooling_is_refused() -> None:
    image = keras.Input((4, 4, 1))
    flat = keras.Model(image, layers.Dense(2, name="probabilities")(layers.Flatten()(image)))
    with pytest.raises(ValueError, match="no global average pooling"):
        with_two_steps(flat, answers=3, well=1)
