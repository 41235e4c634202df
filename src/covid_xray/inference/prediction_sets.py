"""Choose the classes that conformal prediction keeps, by a stored quantile; numpy only.

The quantiles are fitted by `evaluation.metrics.conformal` and stored in `bundle.json` under `conformal`.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from covid_xray.bundle.contents import Conformal

METHODS = ("lac", "aps", "raps")
FREE_RANKS, PENALTY = 1, 0.05  # RAPS: a penalty of 0.05 for each class after the first


def nonconformity(probabilities: ArrayLike, *, method: str = "lac") -> NDArray[np.float64]:
    """Compute how little each class fits, N x C; small means that it fits.

    Args:
        probabilities: N x C, rows sum to 1.
        method: `lac`, 1 - p (Sadinle, Lei and Wasserman 2019); `aps`, the sum of the probabilities from the highest
            down to the class (Romano, Sesia and Candes 2020, without their random step, so that one image always gets
            one result); `raps`, that plus 0.05 for each rank after the first (Angelopoulos and others 2021).

    Raises:
        ValueError: another method.
    """
    p = np.asarray(probabilities, dtype=np.float64)
    if method not in METHODS:
        raise ValueError(f"No such method: {method}. Choose one of {', '.join(METHODS)}.")
    if method == "lac":
        return 1.0 - p
    order = np.argsort(-p, axis=1, kind="stable")
    # Rounded, or the last bit of a float would decide about the last class, whose sum is 1.
    sums = np.round(np.cumsum(np.take_along_axis(p / p.sum(axis=1, keepdims=True), order, axis=1), axis=1), 9)
    if method == "raps":
        sums = sums + PENALTY * np.maximum(np.arange(1, p.shape[1] + 1) - FREE_RANKS, 0)
    scores = np.empty_like(sums)
    np.put_along_axis(scores, order, sums, axis=1)
    return scores


def prediction_sets(probabilities: ArrayLike, *, quantile: float, method: str = "lac") -> NDArray[np.bool_]:
    """Choose the kept classes, N x C; the most probable one always is, which can only raise the coverage."""
    p = np.asarray(probabilities, dtype=np.float64)
    kept = nonconformity(p, method=method) <= quantile
    kept[np.arange(len(p)), p.argmax(axis=1)] = True
    return kept


def prediction_set(probabilities: Mapping[str, float], conformal: Conformal | None) -> tuple[str, ...] | None:
    """Choose the kept classes of one image by the method and coverage of the bundle.

    Args:
        probabilities: class to calibrated probability.
        conformal: of `bundle.json`: `method`, `coverage`, and `quantiles` (method to coverage to quantile).

    Returns:
        One class or more in the order of `probabilities`; `None` where the bundle has no quantiles.
    """
    if not conformal:
        return None
    values = [list(probabilities.values())]
    kept = prediction_sets(values, quantile=conformal.quantile, method=conformal.method)[0]
    return tuple(name for name, keep in zip(probabilities, kept, strict=True) if keep)


def undecided(kept: tuple[str, ...] | None, *, finite: bool) -> tuple[str, ...]:
    """Explain why probabilities give no label: not finite, or more than one class is kept; empty where they do."""
    if not finite:
        return ("the network gave no finite probabilities",)
    return (f"the probabilities do not tell {' from '.join(kept)}",) if kept and len(kept) > 1 else ()
