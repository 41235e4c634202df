"""Move the probability of being ill to the threshold of one hospital; the network itself stays as it is.

Scores are log odds of being ill: ln(P(ill) / P(well)) of the calibrated probabilities. P(ill) is one half at 0.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
LEAST = 1e-9  # probability below which log odds are cut off
MARGIN = 1e-4  # log odds between a threshold and the score that it is taken from: rounding decides nothing


def healthy_class(facts: Mapping[str, Any]) -> str | None:
    """The class that means healthy: `well` of a two-step network, else `normal`; `None` where there is neither."""
    well = facts.get("well")
    return str(well) if well is not None else "normal" if "normal" in facts["classes"] else None


def log_odds(probabilities: ArrayLike, *, well: int) -> Array:
    """N log odds of being ill from N x C probabilities; `well` is the place of the healthy class."""
    p = np.asarray(probabilities, dtype=np.float64)
    ill = np.delete(p, well, axis=1).sum(axis=1)
    return np.asarray(np.log(np.clip(ill, LEAST, 1.0)) - np.log(np.clip(p[:, well], LEAST, 1.0)))


@dataclass(frozen=True, eq=False)
class Correction:
    """What is done to the score of an image: (score + weights . embedding + constant - threshold) / temperature.

    The defaults change nothing.

    Args:
        threshold: score above which an image is ill, after the offset of the features.
        temperature: above 1 makes answers less certain; the threshold stays where it is.
        constant: what the offset of the features adds to every score.
        weights: D, what it adds for each feature; `None` where it is the same for every image.
    """

    threshold: float = 0.0
    temperature: float = 1.0
    constant: float = 0.0
    weights: Array | None = None

    @property
    def changes(self) -> bool:
        """Whether it does anything at all."""
        return (self.threshold, self.temperature, self.constant) != (0.0, 1.0, 0.0) or self.weights is not None

    def offset(self, embeddings: ArrayLike) -> Array:
        """N, what is added to the scores of N x D embeddings."""
        e = np.asarray(embeddings, dtype=np.float64)
        return np.full(len(e), self.constant) + (0.0 if self.weights is None else e @ self.weights)

    def apply(self, probabilities: NDArray[np.float32], embeddings: ArrayLike, *, well: int) -> NDArray[np.float32]:
        """N x C probabilities with P(ill) moved, the shares of the illnesses in it as they were; rows sum to 1."""
        if not self.changes:
            return probabilities
        p = probabilities.astype(np.float64)
        score = (log_odds(p, well=well) + self.offset(embeddings) - self.threshold) / self.temperature
        ill = 1.0 / (1.0 + np.exp(-np.clip(score, -50, 50)))
        shares = np.delete(p, well, axis=1)
        total = shares.sum(axis=1, keepdims=True)
        shares = np.where(total > 0, shares / np.where(total > 0, total, 1), 1 / shares.shape[1])
        moved = np.insert(shares * ill[:, None], well, 1 - ill, axis=1)
        return np.where(np.isfinite(p).all(axis=1, keepdims=True), moved, p).astype(np.float32)
