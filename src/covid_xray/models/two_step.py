"""Build a head that decides in two steps: is this lung ill, and if so, with which illness.

Each illness has a P(ill) of its own, and a share: how much the picture looks like those that the illness was learned
from (children or adults). P(illness) = share * P(ill), and P(well) is the rest. Beside it stands `known`: how much an
ill lung looks like an illness that is answered, and not like another one. keras.ops only.
"""

from typing import Any

import keras
import numpy as np
from keras import layers, ops

ILL, WHICH, KNOWN, POOL = "ill", "which", "known", "pool"


@keras.saving.register_keras_serializable(package="covid_xray")
class TwoStep(layers.Layer):
    """Combine both steps: P(ill) N x (C - 1) and shares N x (C - 1) -> N x C.

    Args:
        well: place of the healthy class among the C classes.
    """

    def __init__(self, well: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.well = well

    def call(self, inputs: list[Any]) -> Any:
        """Combine the steps; `inputs`: P(ill) of each illness, and its share, both N x (C - 1)."""
        ill, share = inputs
        parts = ill * share
        well = 1 - ops.sum(parts, axis=1, keepdims=True)
        return ops.concatenate([parts[:, : self.well], well, parts[:, self.well :]], axis=1)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments, for `model.keras`."""
        return {**super().get_config(), "well": self.well}


def with_two_steps(trunk: keras.Model, *, answers: int, well: int) -> keras.Model:
    """Build the network of `trunk` up to its layer `pool`, with the two-step head behind it.

    Args:
        trunk: a network with global average pooling (layer `pool`); its own head is dropped.
        answers: C, the number of classes.
        well: place of the healthy class among them.

    Returns:
        A model from the same input to `probabilities` N x C and `known` N x 1.

    Raises:
        ValueError: `trunk` has no layer `pool`.
    """
    if POOL not in [layer.name for layer in trunk.layers]:
        raise ValueError(f"{trunk.name} has no global average pooling (layer {POOL!r}); a two-step head needs it.")
    pooled = trunk.get_layer(POOL).output
    ill = layers.Dense(answers - 1, activation="sigmoid", dtype="float32", name=ILL)(pooled)
    which = layers.Dense(answers - 1, activation="softmax", dtype="float32", name=WHICH)(pooled)
    known = layers.Dense(1, activation="sigmoid", dtype="float32", name=KNOWN)(pooled)
    probabilities = TwoStep(well, dtype="float32", name="probabilities")([ill, which])
    return keras.Model(trunk.input, {"probabilities": probabilities, KNOWN: known}, name=trunk.name)


def is_two_step(model: keras.Model) -> bool:
    """Say whether `model` was made by `with_two_steps`."""
    return any(isinstance(layer, TwoStep) for layer in model.layers)


def class_kernel(model: keras.Model) -> list[Any]:
    """Compute the D x C kernel of the class maps of a two-step network, in a list.

    The column of every illness is that of its P(ill), the one of the healthy class the opposite of their mean: where
    the picture looks ill, and where it looks well. The second step has no map of its own.
    """
    combined = next(layer for layer in model.layers if isinstance(layer, TwoStep))
    kernel = ops.convert_to_numpy(model.get_layer(ILL).kernel)
    return [np.insert(kernel, combined.well, -kernel.mean(axis=1), axis=1)]
