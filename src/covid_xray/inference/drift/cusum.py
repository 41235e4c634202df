"""Watch the share of positive answers with a two-sided Bernoulli CUSUM (Reynolds and Stoumbos 1999)."""

from collections.abc import Iterable
from functools import cache

import numpy as np

ODDS = 2.5  # ratio of the odds that it is tuned to notice, up or down
HORIZON = 1000  # images after which it starts anew
CHANCE = 0.05  # of a false alarm within the horizon
_STREAMS = 4000  # that the limit is simulated with


def advance(state: tuple[float, float], positives: Iterable[bool], *, share: float) -> tuple[float, float]:
    """Return the two sums, for a share that rises and one that falls, after more answers.

    Args:
        state: the sums before; (0, 0) at the start.
        positives: whether each answer is positive, oldest first.
        share: of positive answers in the reference, 0..1, both excluded.
    """
    up, down = state
    (up_yes, up_no), (down_yes, down_no) = scores(share)
    for positive in positives:
        up = max(0.0, up + (up_yes if positive else up_no))
        down = max(0.0, down + (down_yes if positive else down_no))
    return up, down


def scores(share: float) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return the log-likelihood ratios of a positive and a negative answer, for raised and for lowered odds."""
    odds = share / (1 - share)
    found = []
    for ratio in (ODDS, 1 / ODDS):
        shifted = odds * ratio / (1 + odds * ratio)
        found.append((float(np.log(shifted / share)), float(np.log((1 - shifted) / (1 - share)))))
    return found[0], found[1]


def expected_share(positive: int, images: int) -> float:
    """Estimate the share of positives from a reference; never 0 or 1."""
    return (positive + 0.5) / (images + 1)


@cache
def limit(positive: int, images: int) -> float:
    """Simulate the value that either sum passes within `HORIZON` images with probability `CHANCE` without a change.

    The true share is drawn from its posterior given the reference (Jeffreys), so that a small reference gives a higher
    limit.
    """
    rng = np.random.default_rng(0)
    share = expected_share(positive, images)
    true = rng.beta(positive + 0.5, images - positive + 0.5, _STREAMS)
    highest = np.zeros(_STREAMS)
    sums = np.zeros((2, _STREAMS))
    yes, no = np.array(scores(share)).T[:, :, None]
    for _ in range(HORIZON):
        sums = np.maximum(0.0, sums + np.where(rng.random(_STREAMS) < true, yes, no))
        highest = np.maximum(highest, sums.max(axis=0))
    return float(np.quantile(highest, 1 - CHANCE))
