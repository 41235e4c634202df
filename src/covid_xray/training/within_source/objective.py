"""Define the loss of `objective=within_source`: rank ill above well inside each contrast, and align the healthy.

Pairs of one contrast are compared (a pairwise logistic loss, as in RankNet: Burges and others 2005), so whatever is
constant in a source cancels out, as an intercept for each source would cancel it (conditional logistic regression).
The healthy of different sources are held at one score, so that one threshold means the same in all of them.
"""

from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

ILL, CONTRAST, HOSPITAL = range(3)  # columns of the targets


def targets(ill: NDArray[np.bool_], contrast: NDArray[np.int64], hospital: NDArray[np.int64]) -> NDArray[np.float32]:
    """Stack N x 3 float32 for the loss: 1 where ill, number of the contrast, number of the source."""
    return np.stack([ill, contrast, hospital], axis=1).astype(np.float32)


@keras.saving.register_keras_serializable(package="covid_xray")
class RankingLoss(keras.losses.Loss):
    """Pairwise logistic loss inside contrasts, plus the spread of the healthy sources' mean scores.

    Args:
        hospitals: number of sources.
        smoothing: share of the pairs that count the other way round, 0..1: keeps scores finite, as label smoothing.
        alignment: weight of the spread.
    """

    def __init__(self, hospitals: int, *, smoothing: float = 0.05, alignment: float = 0.3, **kwargs: Any) -> None:
        super().__init__(**{"name": "ranking", "reduction": None, **kwargs})
        self.hospitals, self.smoothing, self.alignment = hospitals, smoothing, alignment

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Map N x 3 targets and N x 1 scores to N equal losses: the loss is of the batch."""
        ill, contrast, hospital = y_true[:, ILL], y_true[:, CONTRAST], y_true[:, HOSPITAL]
        loss = _pairs(ill, contrast, y_pred, self.smoothing)
        if self.alignment:
            loss = loss + self.alignment * _spread(1 - ill, hospital, y_pred, self.hospitals)
        return loss * ops.ones_like(ill)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        own = {"hospitals": self.hospitals, "smoothing": self.smoothing, "alignment": self.alignment}
        return {**super().get_config(), **own}


def _pairs(ill: Any, contrast: Any, score: Any, smoothing: float) -> Any:
    """Compute the mean of softplus(-(ill - well)) over all pairs of one contrast in the batch."""
    same = ops.cast(ops.equal(contrast[:, None], contrast[None]), "float32")
    pair = same * ill[:, None] * (1 - ill)[None]
    ahead = score - ops.transpose(score)
    cost = (1 - smoothing) * ops.softplus(-ahead) + smoothing * ops.softplus(ahead)
    return ops.sum(pair * cost) / ops.maximum(ops.sum(pair), 1.0)


def _spread(well: Any, hospital: Any, score: Any, hospitals: int) -> Any:
    """Compute the variance between sources of the mean score of their healthy images, weighted by their number."""
    member = ops.one_hot(ops.cast(hospital, "int32"), hospitals) * well[:, None]
    count = ops.sum(member, axis=0)
    mean = ops.sum(member * score, axis=0) / ops.maximum(count, 1.0)
    total = ops.maximum(ops.sum(count), 1.0)
    centre = ops.sum(count * mean) / total
    return ops.sum(count * (mean - centre) ** 2) / total


def ranked_right(y_true: Any, y_pred: Any) -> Any:
    """Share of the pairs of one contrast in which the ill image has the higher score; N x 3, N x 1 -> N, all alike."""
    ill, contrast = y_true[:, ILL], y_true[:, CONTRAST]
    same = ops.cast(ops.equal(contrast[:, None], contrast[None]), "float32")
    pair = same * ill[:, None] * (1 - ill)[None]
    right = ops.cast(y_pred > ops.transpose(y_pred), "float32")
    return ops.sum(pair * right) / ops.maximum(ops.sum(pair), 1.0) * ops.ones_like(ill)
