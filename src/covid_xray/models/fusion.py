"""Build the late fusion of an image network's probabilities and embedding with clinical values.

The class scores of the image are changed by a sum over the stated fields:

    joint = softmax(log p_image + sum over stated fields f of t_f),   t_f = sum_r phi_r(v_f) (a_r + B_r s)

* phi_r are ramps from 0 to 1 between neighbouring quantiles of the field, so that a sum of them is a piecewise linear
  function that is flat outside the training values. Each is centred: its mean over the training values, every class
  counted the same, is 0. An average value therefore changes nothing, *whatever* the network learned: only the value of
  a field can favour a class, not that it is stated.
* An absent field (NaN) has phi = 0: the missing-indicator is a gate. Without any stated field the joint probabilities
  are those of the image.
* s are a few principal components of the embedding, squashed: the effect of a value may depend on the image.
* `used` are the classes that a field may influence: those of which training had enough patients with a value. Between
  them the terms sum to 0; the score of every other class stays.

With `naive` the indicators are features like any other, for every field and class: the usual design, to measure what it
learns from the collection instead of from the patient.
"""

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import layers, ops
from numpy.typing import NDArray

INPUTS = ("probabilities", "embedding", "clinical")
OUTPUTS = ("joint_probabilities", "terms")
SMALLEST = 1e-7  # smaller probabilities of the image are raised to it


@dataclass(frozen=True, eq=False)
class Basis:
    """The constants of a fusion network, fixed before training.

    Args:
        field: R numbers, the field of each ramp.
        low, high: R, where each ramp begins and ends, in the unit of its field; low < high.
        centre: R, its mean over training values; 0 for indicators.
        indicator: R, whether it is a missing-indicator (1 where the field is absent) instead of a ramp.
        used: F x C, whether a field influences a class.
        components, offset: D x S and S, from an embedding to its squashed components.
    """

    field: NDArray[np.int64]
    low: NDArray[np.float32]
    high: NDArray[np.float32]
    centre: NDArray[np.float32]
    indicator: NDArray[np.bool_]
    used: NDArray[np.bool_]
    components: NDArray[np.float32]
    offset: NDArray[np.float32]


def build(basis: Basis) -> keras.Model:
    """Build the network, its terms 0 until it is trained.

    Args:
        basis: ramps, classes and components.

    Returns:
        A model from `probabilities` (N x C, calibrated), `embedding` (N x D) and `clinical` (N x F float32 in the units
        of the fields, NaN where absent) to `joint_probabilities` (N x C) and `terms` (N x F x C, what each field adds
        to the logits).
    """
    fields, classes = basis.used.shape
    p = keras.Input((classes,), name="probabilities")
    embedding = keras.Input((len(basis.components),), name="embedding")
    clinical = keras.Input((fields,), name="clinical")
    ramps = Ramps(basis, name="ramps")(clinical)
    side = Side(basis, name="side")(embedding)
    terms = FieldTerms(basis, name="terms")([ramps, side])
    joint = Joint(name="joint_probabilities")([p, terms])
    return keras.Model([p, embedding, clinical], {"joint_probabilities": joint, "terms": terms}, name="fusion")


class _Fixed(layers.Layer):
    """A layer with constants that are saved and exported, and nothing to train."""

    def hold(self, name: str, value: NDArray[Any]) -> Any:
        """Store the constant `value` as a weight that is never trained."""
        weight = self.add_weight(name=name, shape=value.shape, initializer="zeros", trainable=False)
        weight.assign(value.astype(np.float32))
        return weight


class Ramps(_Fixed):
    """Map values N x F to centred ramps (or indicators) N x R, 0 where a value is absent."""

    def __init__(self, basis: Basis, **kwargs: Any) -> None:
        super().__init__(dtype="float32", **kwargs)
        self.place = self.hold("place", np.eye(basis.used.shape[0])[:, basis.field])  # F x R: which field a ramp is of
        self.low, self.width = self.hold("low", basis.low), self.hold("width", basis.high - basis.low)
        self.centre, self.indicator = self.hold("centre", basis.centre), self.hold("indicator", basis.indicator)
        self.built = True

    def call(self, clinical: Any) -> Any:
        """Compute the ramps of N x F float32, NaN where absent."""
        absent = ops.isnan(clinical)
        known = ops.matmul(ops.cast(ops.logical_not(absent), "float32"), self.place)
        values = ops.matmul(ops.where(absent, ops.zeros_like(clinical), clinical), self.place)
        ramps = ops.clip((values - self.low) / self.width, 0.0, 1.0) - self.centre
        return self.indicator * (1.0 - known) + (1.0 - self.indicator) * known * ramps


class Side(_Fixed):
    """Map an embedding N x D to its squashed principal components N x S, each in -1..1."""

    def __init__(self, basis: Basis, **kwargs: Any) -> None:
        super().__init__(dtype="float32", **kwargs)
        self.components, self.offset = self.hold("components", basis.components), self.hold("offset", basis.offset)
        self.built = True

    def call(self, embedding: Any) -> Any:
        """Compute the components of N x D float32."""
        return ops.tanh(ops.matmul(embedding, self.components) + self.offset)


class FieldTerms(_Fixed):
    """Map ramps N x R and components N x S to N x F x C: the addition of each field to the logit of each class."""

    def __init__(self, basis: Basis, **kwargs: Any) -> None:
        super().__init__(dtype="float32", **kwargs)
        fields, classes = basis.used.shape
        ramps, side = len(basis.field), len(basis.offset)
        self.shape_out = (fields, classes)
        self.place = self.hold("place", np.eye(fields)[:, basis.field])
        self.mask = self.hold("mask", basis.used[basis.field][:, None, :])  # R x 1 x C
        self.share = self.hold("share", basis.used[basis.field][:, None, :] / np.maximum(
            basis.used[basis.field].sum(axis=1), 1)[:, None, None])  # fmt: skip
        # A weight for the value itself, then one for each component.
        self.kernel = self.add_weight(name="kernel", shape=(ramps, 1 + side, classes), initializer="zeros")
        self.built = True

    def call(self, inputs: list[Any]) -> Any:
        """Compute the terms; `inputs`: ramps, then components."""
        ramps, side = inputs
        kept = self.kernel * self.mask
        kernel = (kept - ops.sum(kept * self.share, axis=-1, keepdims=True)) * self.mask
        with_one = ops.concatenate([ops.ones_like(side[:, :1]), side], axis=1)  # N x (1 + S)
        number, inner, classes = self.kernel.shape
        flat = ops.reshape(ops.transpose(kernel, (1, 0, 2)), (inner, number * classes))
        worth = ops.reshape(ops.matmul(with_one, flat), (-1, number, classes))  # N x R x C
        return ops.matmul(self.place, ops.expand_dims(ramps, -1) * worth)  # N x F x C


class Joint(layers.Layer):
    """Combine probabilities of the image N x C and terms N x F x C to joint probabilities N x C."""

    def call(self, inputs: list[Any]) -> Any:
        """Compute the probabilities; `inputs`: probabilities, then terms."""
        probabilities, terms = inputs
        logits = ops.log(ops.maximum(probabilities, SMALLEST)) + ops.sum(terms, axis=1)
        return ops.softmax(logits, axis=-1)
