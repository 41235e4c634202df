"""Count how many images the predictor would answer with "cannot say", and how accurate the others are."""

from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from covid_xray.evaluation.metrics.intervals import proportions
from covid_xray.evaluation.metrics.subgroups import SMALLEST
from covid_xray.evaluation.predictions import REASONS, Predictions

MOST = 12  # reasons that are listed; there are more only when a reason holds numbers
Facts = dict[str, Any]


def measure_abstention(
    predictions: Predictions, *, groups: NDArray[Any] | None = None, rounds: int = 1000, seed: int = 0
) -> Facts:
    """Return the content of metrics.json under `abstention`.

    Args:
        predictions: N scored images.
        groups, rounds, seed: as for `intervals.bootstrap`.

    Returns:
        `withheld` (number of images), `reasons` (reason to images; an image may have several), `accuracy` of the
        `answered` and the `withheld` images, and `rates`: share withheld by class and by source. Groups below 20 images
        are left out.
    """
    table = predictions.table
    withheld = (table[REASONS] != "").to_numpy(dtype=bool)
    right = predictions.labels == predictions.predicted
    parts = {"answered": (right, ~withheld), "withheld": (right, withheld)}
    draws: Facts = {"groups": groups, "rounds": rounds, "seed": seed}
    facts = Counter(reason for text in table[REASONS] for reason in text.split("; ") if reason)
    return {
        "withheld": int(withheld.sum()),
        "reasons": dict(facts.most_common(MOST)),
        "accuracy": _enough(parts, draws),
        "rates": {
            column: _enough(
                {name: (withheld, (table[column] == name).to_numpy()) for name in _names(table, column)}, draws
            )
            for column in ("label", "source")
        },
    }


def _enough(parts: dict[str, tuple[NDArray[np.bool_], NDArray[np.bool_]]], draws: Facts) -> Facts:
    shown = {name: pair for name, pair in parts.items() if pair[1].sum() >= SMALLEST}
    return {name: found.as_dict() for name, found in proportions(shown, **draws).items()}


def _names(table: Any, column: str) -> list[str]:
    return sorted(set(table[column]) - {""}) if column in table else []
