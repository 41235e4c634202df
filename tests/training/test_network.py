"""The compiled network: its optimiser, and the running average of its weights for the time of a validation."""

import keras
import numpy as np
import pytest

from covid_xray.config import Training
from covid_xray.errors import UsageError
from covid_xray.training.network import averaged, build_model
from covid_xray.training.train import check_start

TINY = {"image_size": 32, "blocks": (4,), "convolutions": 1, "dense": (8,), "precision": "float32"}


def _weights(model):
    return [keras.ops.convert_to_numpy(v).copy() for v in model.trainable_variables]


def test_averaged_weights_are_in_place_inside_and_gone_afterwards():
    model = build_model(Training(**TINY, average_decay=0.9, learning_rate=0.05), 3)
    random = np.random.default_rng(0)
    x, y = random.uniform(0, 255, (8, 32, 32, 1)).astype(np.float32), np.eye(3, dtype=np.float32)[np.arange(8) % 3]
    for _ in range(5):
        model.train_on_batch(x, y)
    before = _weights(model)
    with averaged(model):
        inside = _weights(model)
    assert any(not np.allclose(a, b) for a, b in zip(before, inside, strict=True))
    assert all(np.array_equal(a, b) for a, b in zip(before, _weights(model), strict=True))


def test_without_an_average_nothing_changes():
    model = build_model(Training(**TINY), 3)
    before = _weights(model)
    with averaged(model):
        assert all(np.array_equal(a, b) for a, b in zip(before, _weights(model), strict=True))


@pytest.mark.parametrize(
    ("settings", "kind"),
    [({}, keras.optimizers.Adam), ({"optimizer": "adamw", "weight_decay": 0.01}, keras.optimizers.AdamW)],
)
def test_the_optimiser_is_the_one_of_the_settings(settings, kind):
    assert type(build_model(Training(**TINY, **settings), 3).optimizer) is kind


def test_layers_that_the_settings_name_are_checked_before_anything_is_decoded(tmp_path):
    settings = Training(**TINY, freeze=("block7",), weights=None)
    with pytest.raises(UsageError, match=r"'block7' \(freeze\)"):
        check_start(settings, tmp_path / "run")
    assert not (tmp_path / "run").exists()
