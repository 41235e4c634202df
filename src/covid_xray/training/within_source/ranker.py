"""Build the network that ranks ill above well: one score behind the pooled features."""

from typing import Any

import keras
from keras import layers

from covid_xray.config import Training
from covid_xray.errors import UsageError
from covid_xray.models import zoo
from covid_xray.models.two_step import POOL
from covid_xray.training.within_source.objective import RankingLoss, ranked_right

SCORE = "score"


def build_ranker(settings: Training) -> keras.Model:
    """Build the network of `settings` up to its pooled features, and one score behind them; not compiled.

    Raises:
        UsageError: a network without global average pooling.
    """
    trunk = zoo.build(settings, 2)
    if POOL not in [layer.name for layer in trunk.layers]:
        raise UsageError(
            f"objective=within_source needs a network with global average pooling; model={settings.model} has none. "
            "Take model=efficientnet_lite0 or one of keras.applications."
        )
    pooled = layers.Dropout(settings.dropout, name="ill_dropout")(trunk.get_layer(POOL).output)
    score = layers.Dense(1, dtype="float32", name=SCORE)(pooled)
    return keras.Model(trunk.input, score, name=trunk.name)


def compile_arguments(settings: Training, *, sources: int) -> dict[str, Any]:
    """Return loss and metric for `model.compile`."""
    loss = RankingLoss(sources, smoothing=settings.label_smoothing, alignment=settings.alignment)
    return {"loss": loss, "metrics": [keras.metrics.MeanMetricWrapper(ranked_right, name="accuracy")]}
