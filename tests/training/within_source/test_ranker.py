"""The network that ranks: one score behind pooled features."""

import numpy as np
import pytest

pytest.importorskip("keras")

from covid_xray.config import Training
from covid_xray.errors import UsageError
from covid_xray.training.within_source.ranker import build_ranker, compile_arguments


def test_it_gives_one_score_for_each_image() -> None:
    model = build_ranker(Training(model="efficientnet_lite0", image_size=32, objective="within_source"))
    assert model.predict_on_batch(np.zeros((2, 32, 32, 1))).shape == (2, 1)
    assert "pool" in [layer.name for layer in model.layers]


def test_a_network_without_pooling_is_refused_with_what_to_take() -> None:
    with pytest.raises(UsageError, match="efficientnet_lite0"):
        build_ranker(Training(model="vgg", image_size=32, objective="within_source"))


def test_loss_and_metric_follow_the_settings() -> None:
    settings = Training(objective="within_source", alignment=0.7, label_smoothing=0.1)
    made = compile_arguments(settings, sources=4)
    assert (made["loss"].hospitals, made["loss"].alignment, made["loss"].smoothing) == (4, 0.7, 0.1)
    assert made["metrics"][0].name == "accuracy"
