"""Compute the contribution of each clinical field to a joint prediction.

Exact Shapley values (Shapley 1953; Lundberg and Lee 2017): the mean, over every order in which the stated fields could
be added one after the other, of the change of a class's probability by each. They sum to the joint probability minus
that of the image alone.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def exact(
    image: NDArray[np.floating], terms: Mapping[str, NDArray[np.floating]], classes: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Compute field -> class -> change of the class's probability by the field, in -1..1.

    Args:
        image: C logits of the image alone, up to a constant.
        terms: for each stated field, its C additions to the logits; 15 fields are 32,768 subsets.
        classes: C names.
    """
    names, count = list(terms), len(terms)
    member = (np.arange(1 << count)[:, None] >> np.arange(count)) & 1  # 2^k subsets x k fields
    added = np.array([terms[name] for name in names], dtype=np.float64).reshape(count, len(classes))
    worth = _softmax(np.asarray(image, dtype=np.float64) + member @ added)
    size = member.sum(axis=1)
    found = {}
    for k, name in enumerate(names):
        without = np.flatnonzero(member[:, k] == 0)
        weights = np.array([_weight(int(s), count) for s in size[without]])
        change = weights @ (worth[without | (1 << k)] - worth[without])
        found[name] = dict(zip(classes, (float(value) for value in change), strict=True))
    return found


def _weight(size: int, count: int) -> float:
    """Compute the share of the orders of `count` fields in which exactly `size` given ones precede another."""
    return math.factorial(size) * math.factorial(count - size - 1) / math.factorial(count)


def _softmax(logits: Floats) -> Floats:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))
