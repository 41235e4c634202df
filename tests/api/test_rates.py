"""A learning rate from Python; the model that was handed over keeps its weights."""

from pathlib import Path

import numpy as np
import pytest

from covid_xray import find_learning_rate
from covid_xray.errors import UsageError

pytestmark = pytest.mark.slow


def test_a_model_keeps_its_weights(pictures: Path) -> None:
    import keras
    from keras import layers

    image = keras.Input((32, 32, 3))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(8, 3, activation="relu")(layers.Rescaling(1 / 255)(image)))
    model = keras.Model(image, layers.Dense(3, activation="softmax")(x), name="mine")
    before = [values.copy() for values in model.get_weights()]
    found = find_learning_rate(pictures, model=model, image_size=32, batch_size=8, steps=60, progress=False)
    for expected, value in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(value, expected)
    assert found.suggestion is None or f"learning_rate={found.suggestion:.2g}" in found.summary
    assert found.to_frame()["learning_rate"].is_monotonic_increasing
    assert found.figure.size[0] > 500
    assert found._repr_png_().startswith(b"\x89PNG")
    folder = found.folder
    del found
    assert not folder.exists()


def test_a_setting_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such setting"):
        find_learning_rate(tmp_path, learning_speed=1)
