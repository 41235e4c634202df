"""Run Adam or AdamW with a learning rate of its own for each variable, on every backend of Keras."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops


class LayerwiseAdam(keras.optimizers.Adam):
    """Adam whose steps, and decoupled weight decay, are multiplied by a share for each variable.

    The share multiplies the step: Adam divides a gradient by its own size, so scaling gradients would change nothing.

    Args:
        learning_rate: of a variable with share 1.
        shares: one for each variable, in the order in which the optimizer is built.
        decay: weight decay as in AdamW (Loshchilov and Hutter 2019, arXiv:1711.05101), 0 for none.
        options: of `keras.optimizers.Adam`.
    """

    def __init__(self, learning_rate: float, *, shares: Sequence[float], decay: float = 0.0, **options: Any) -> None:
        super().__init__(learning_rate, **options)
        self.shares, self.decay = tuple(shares), decay

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Update one variable, as `keras.optimizers.Adam` does, with its share of `learning_rate`."""
        share = self.shares[self._get_variable_index(variable)]
        rate = ops.multiply(ops.cast(learning_rate, variable.dtype), share)
        if self.decay:
            self.assign_sub(variable, ops.multiply(variable, ops.multiply(rate, self.decay)))
        super().update_step(gradient, variable, rate)
