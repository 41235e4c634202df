"""Adam with a rate for each variable: the steps of Keras' own, times the share."""

import keras
import numpy as np
import pytest

from covid_xray.training.recipe.layerwise_adam import LayerwiseAdam


def steps(optimizer: keras.optimizers.Optimizer, count: int = 3) -> list[np.ndarray]:
    """The values of two variables after some steps."""
    variables = [keras.Variable(np.array([1.0, -2.0], np.float32), name=name) for name in "ab"]
    optimizer.build(variables)
    for step in range(1, count + 1):
        optimizer.apply([keras.ops.convert_to_tensor([step * 0.3, -1.0])] * 2, variables)
    return [keras.ops.convert_to_numpy(variable) for variable in variables]


@pytest.mark.parametrize("decay", [0.0, 0.2])
def test_with_the_whole_rate_it_is_the_optimiser_of_keras(decay: float) -> None:
    plain = keras.optimizers.AdamW(0.1, decay) if decay else keras.optimizers.Adam(0.1)
    found = steps(LayerwiseAdam(0.1, shares=(1.0, 1.0), decay=decay))
    np.testing.assert_allclose(found, steps(plain), rtol=1e-6)


@pytest.mark.parametrize("decay", [0.0, 0.2])
def test_each_variable_moves_as_if_its_share_were_the_rate(decay: float) -> None:
    first, second = steps(LayerwiseAdam(0.1, shares=(1.0, 0.25), decay=decay))
    slow = keras.optimizers.AdamW(0.025, decay) if decay else keras.optimizers.Adam(0.025)
    np.testing.assert_allclose(second, steps(slow)[1], rtol=1e-6)
    assert not np.allclose(first, second)
