"""Layers chosen by the beginnings of their names: frozen, freed, and trained at a rate of their own."""

from typing import Any

import pytest

pytest.importorskip("keras")
import keras
from keras import layers

from covid_xray.config import Training, load
from covid_xray.errors import UsageError
from covid_xray.training.recipe.layer_plan import named_layers, plan_layers, rates


def network() -> keras.Model:
    """A backbone that is a layer, as those of keras.applications, then a head; one of its norms is kept frozen."""
    image = keras.Input((8, 8, 1))
    x = layers.Conv2D(2, 3, name="stem_conv")(image)
    x = layers.BatchNormalization(trainable=False, name="stem_norm")(x)
    x = layers.Conv2D(2, 3, name="block1_conv")(layers.ReLU(name="stem_relu")(x))
    backbone = keras.Model(image, layers.Conv2D(2, 3, name="block2_conv")(x), name="backbone")
    pooled = layers.GlobalAveragePooling2D(name="pool")(backbone(image))
    return keras.Model(image, layers.Dense(3, name="probabilities")(pooled))


def trained(model: keras.Model) -> list[str]:
    return [layer.name for layer in named_layers(model).values() if layer.trainable]


def test_layers_inside_a_network_are_found_from_the_input_to_the_head() -> None:
    assert list(named_layers(network())) == [
        "backbone/stem_conv", "backbone/stem_norm", "backbone/block1_conv", "backbone/block2_conv", "probabilities",
    ]  # fmt: skip


def test_frozen_layers_are_freed_in_their_epoch_and_others_never() -> None:
    model = network()
    plan = plan_layers(model, Training(freeze=("backbone",), unfreeze={2: ("block2",), 4: ("backbone/block", "stem")}))
    expected = {1: ["probabilities"], 2: ["block2_conv", "probabilities"], 3: ["block2_conv", "probabilities"],
                4: ["stem_conv", "block1_conv", "block2_conv", "probabilities"]}  # fmt: skip
    for epoch, names in expected.items():
        assert plan.begin(epoch) is (epoch != 3)
        assert trained(model) == names  # stem_norm was kept frozen by the network, and stays so
    assert plan.begin(1)  # a run may be resumed at any epoch
    assert trained(model) == ["probabilities"]
    only = plan_layers(network(), Training(freeze=("stem_conv", "stem_norm")))
    assert [first for _, first in only.frozen] == [None]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {"freeze": ("blok",)},
            r"No layer with weights.*'blok' \(freeze\).*stem, block1, block2.*mean block\d\?",
        ),
        ({"freeze": ("pool",)}, "No layer with weights"),
        ({"freeze": ("",)}, "No layer with weights"),
        ({"layer_rates": {"conv9": 0.1}}, r"'conv9' \(layer_rates\)"),
        (
            {"freeze": ("stem",), "unfreeze": {2: ("block1",)}},
            r"No frozen layer.*'block1' \(unfreeze\).*begin with stem",
        ),
        ({"freeze": ("backbone", "prob")}, "leaves no layer to train"),
    ],
)
def test_what_fits_no_layer_is_an_error_that_lists_what_exists(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        plan_layers(network(), Training(**settings))


def test_the_longest_beginning_decides_the_rate_and_depth_the_others() -> None:
    model = network()
    assert rates(model, Training()) is None
    found = rates(model, Training(layer_rates={"block": 0.1, "block2": 0.5}))
    assert found == [1, 1, 0.1, 0.1, 0.5, 0.5, 1, 1]  # kernel and bias of each; the norm is not trained
    found = rates(model, Training(depth_rate=0.01, layer_rates={"prob": 2}))
    assert found == pytest.approx([0.01, 0.01, 0.1, 0.1, 0.1**0.5, 0.1**0.5, 2, 2])


def test_settings_of_layers_are_checked_and_read_from_a_command() -> None:
    read = load(Training, overrides=["freeze=[stem, block1]", "unfreeze={3: [block1]}", "layer_rates={stem: 0.5}"])
    assert (read.unfreeze, read.layer_rates) == ({3: ("block1",)}, {"stem": 0.5})
    assert Training.model_validate(read.model_dump(mode="json")) == read
    for overrides, said in (
        (["unfreeze={3: [a]}"], "none is frozen"),
        (["freeze=[a]", "unfreeze={1: [a]}"], "from epoch 2"),
        (["layer_rates={a: 0}"], "greater than 0"),
    ):
        with pytest.raises(UsageError, match=said):
            load(Training, overrides=overrides)
