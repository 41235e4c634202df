"""A network of the user's own stands behind our input and ends in our head."""

from pathlib import Path

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from keras import layers

from covid_xray.config import Training
from covid_xray.errors import UsageError
from covid_xray.models import own, zoo
from covid_xray.models.heatmap_head import with_class_maps

NET = """
import keras
from keras import layers

def build(settings, classes):
    image = keras.Input((settings.image_size, settings.image_size, 3))
    x = layers.Rescaling(1 / 255)(image)
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(5, 3, activation="relu")(x))
    x = layers.Dropout(0.1)(layers.Dense(7, activation="relu")(x))
    return keras.Model(image, layers.Dense(classes, activation="softmax", name="mine")(x), name="mine")

def empty():
    return None
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "nets_of_mine.py").write_text(NET)
    monkeypatch.chdir(tmp_path)
    return "nets_of_mine"


def small(size: int = 32, *, channels: int = 1, classes: int = 3) -> "keras.Model":
    image = keras.Input((size, size, channels))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3, activation="relu")(image))
    return keras.Model(image, layers.Dense(classes, activation="softmax")(x), name="small")


def test_a_function_of_the_working_folder_builds_the_network(module: str) -> None:
    model = zoo.build(Training(model=f"{module}:build", image_size=32), 3)
    assert model.input.shape == (None, 32, 32, 1)
    assert model.layers[-1].name == "probabilities"
    outputs = with_class_maps(model)(np.ones((2, 32, 32, 1), np.float32))
    assert outputs["class_maps"].shape == (2, 3, 30, 30)
    assert outputs["embedding"].shape == (2, 7)


def test_a_model_is_copied_with_its_weights() -> None:
    given = small(channels=3)
    x = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 1)).astype(np.float32)
    with own.handed(given) as name:
        found = zoo.build(Training(model=name, image_size=32), 3)
    np.testing.assert_allclose(found(x), given(np.repeat(x, 3, axis=3)), atol=1e-6)
    found.layers[-1].kernel.assign(found.layers[-1].kernel * 0)
    assert np.abs(given.layers[-1].kernel).max() > 0
    with pytest.raises(UsageError, match="No such function: model:small"):
        zoo.checked(Training(model=name, image_size=32))


@pytest.mark.parametrize(
    ("model", "problem"),
    [
        (lambda: small(48), r"takes \(48, 48, 1\)"),
        (lambda: small(classes=5), r"gives \(5,\)"),
        (lambda: keras.Model(i := keras.Input((32, 32, 1)), layers.Flatten()(layers.Conv2D(3, 32)(i))), "last layer"),
        (lambda: keras.Model([i := keras.Input((32, 32, 1)), keras.Input((2,))], i), "one input"),
    ],
)
def test_a_model_that_does_not_fit_is_refused(model, problem: str) -> None:
    with own.handed(model()) as name, pytest.raises(UsageError, match=problem):
        zoo.build(Training(model=name, image_size=32), 3)


@pytest.mark.parametrize(
    ("name", "problem"),
    [("nets_of_mine:none", "No such function"), ("no_such_module:x", "No such function"),
     ("nets_of_mine:NET", "No such function"), ("nets_of_mine:empty", "cannot be called")],
)  # fmt: skip
def test_a_function_that_is_not_there_is_refused(module: str, name: str, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        zoo.build(Training(model=name, image_size=32), 3)


def test_weights_are_its_own_business(module: str) -> None:
    with pytest.raises(UsageError, match="train_from and weights"):
        zoo.checked(Training(model=f"{module}:build", weights="imagenet"))
