"""Compare one decision threshold with one for each group: what it repairs and what it costs.

The thresholds are fairlearn's (equalized odds; Hardt, Price and Srebro 2016), chosen on other patients than they are
judged on. fairlearn may randomise between two thresholds; a decision is then a probability, a metric an expectation.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from fairlearn.postprocessing import ThresholdOptimizer
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from covid_xray.evaluation.metrics.intervals import Interval, percentiles, resampled_sums
from covid_xray.evaluation.metrics.metrics import ratio

FEWEST = 10  # patients with and without the class that a group must hold, on both sides of the split
LEVEL = 0.95
Floats = NDArray[np.float64]
Facts = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Scores:
    """N images: whether each has the class, its probability, its group ("" where not stated), its patient."""

    positive: NDArray[np.bool_]
    score: Floats
    group: NDArray[np.object_]
    people: NDArray[np.str_]

    def take(self, mask: NDArray[np.bool_]) -> "Scores":
        """Select the images where `mask` is true."""
        return Scores(self.positive[mask], self.score[mask], self.group[mask], self.people[mask])


def compare_thresholds(chosen: Scores, judged: Scores, *, rounds: int = 1000, seed: int = 0) -> Facts | None:
    """Compare one threshold with one per group; return `None` unless two groups are large enough.

    Args:
        chosen: images that the thresholds are chosen on.
        judged: images of other patients that the thresholds are judged on.
        rounds, seed: of the bootstrap over patients.

    Returns:
        `groups` (name to images and patients judged), `left_out` (groups too small), `one` and `each` (`gap`,
        `balanced_accuracy`, `sensitivity` and `specificity` by group), and `difference` (each - one).
    """
    names = sorted(name for name in set(chosen.group) & set(judged.group) if name and _enough(chosen, name)
                   and _enough(judged, name))  # fmt: skip
    if len(names) < 2:
        return None
    left_out = sorted((set(judged.group) | set(chosen.group)) - set(names) - {""})
    chosen, judged = (side.take(np.isin(side.group, names)) for side in (chosen, judged))
    decisions = {"one": (judged.score >= _one_threshold(chosen)).astype(np.float64), "each": _by_group(chosen, judged)}
    draws = {name: _drawn(judged, decision, names, rounds=rounds, seed=seed) for name, decision in decisions.items()}
    count = len(set(judged.people))
    groups = {name: {"images": int((judged.group == name).sum()),
                     "patients": len(set(judged.people[judged.group == name]))} for name in names}  # fmt: skip
    facts = {name: _facts(values, names=names, count=count) for name, values in draws.items()}
    moved = {key: draws["each"][key] - draws["one"][key] for key in ("balanced_accuracy", "gap/sensitivity",
                                                                     "gap/specificity")}  # fmt: skip
    difference = {key: _interval(values, count=count) for key, values in moved.items()}
    return {"groups": groups, "left_out": left_out, **facts, "difference": difference}


def _enough(scores: Scores, name: str) -> bool:
    here = scores.group == name
    return all(len(set(scores.people[here & side])) >= FEWEST for side in (scores.positive, ~scores.positive))


def _one_threshold(scores: Scores) -> float:
    """Return the threshold with the best balanced accuracy."""
    candidates = np.unique(scores.score)
    above = scores.score[None] >= candidates[:, None]
    right = above[:, scores.positive].mean(axis=1) + (~above[:, ~scores.positive]).mean(axis=1)
    return float(candidates[int(np.argmax(right))])


def _by_group(chosen: Scores, judged: Scores) -> Floats:
    """Return the probability with which fairlearn calls each judged image positive."""
    rule = ThresholdOptimizer(
        estimator=_Passthrough(), constraints="equalized_odds", objective="balanced_accuracy_score", prefit=True,
        predict_method="predict",
    )  # fmt: skip
    rule.fit(
        chosen.score[:, None], chosen.positive.astype(int), sensitive_features=pd.Series(chosen.group, name="group")
    )
    yes = rule._pmf_predict(judged.score[:, None], sensitive_features=pd.Series(judged.group, name="group"))
    return np.asarray(yes, dtype=np.float64)[:, 1]


class _Passthrough(BaseEstimator):
    """Return the input as the prediction: the prefit estimator that fairlearn requires."""

    def fit(self, x: Floats, y: Any) -> "_Passthrough":
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def predict(self, x: Floats) -> Floats:
        return np.asarray(x, dtype=np.float64).ravel()


def _drawn(scores: Scores, decision: Floats, names: list[str], *, rounds: int, seed: int) -> dict[str, Floats]:
    """Return every metric of the data itself (first) and of each round."""
    columns = []
    for name in names:
        here = scores.group == name
        for side, right in ((scores.positive, decision), (~scores.positive, 1 - decision)):
            columns += [np.where(here & side, right, 0.0), (here & side).astype(np.float64)]
    everything = np.column_stack(columns)
    sums = np.vstack(
        [everything.sum(axis=0), resampled_sums(everything, groups=scores.people, rounds=rounds, seed=seed)]
    )
    found: dict[str, Floats] = {}
    for k, name in enumerate(names):
        found[f"sensitivity/{name}"] = ratio(sums[:, 4 * k], sums[:, 4 * k + 1])
        found[f"specificity/{name}"] = ratio(sums[:, 4 * k + 2], sums[:, 4 * k + 3])
    for rate, first in (("sensitivity", 0), ("specificity", 2)):
        rates = np.stack([found[f"{rate}/{name}"] for name in names])
        found[f"gap/{rate}"] = rates.max(axis=0) - rates.min(axis=0)
        found[rate] = ratio(sums[:, first::4].sum(axis=1), sums[:, first + 1 :: 4].sum(axis=1))
    found["balanced_accuracy"] = (found["sensitivity"] + found["specificity"]) / 2
    return found


def _facts(drawn: dict[str, Floats], *, names: list[str], count: int) -> Facts:
    sides = ("sensitivity", "specificity")
    rates = {side: {name: _interval(drawn[f"{side}/{name}"], count=count) for name in names} for side in sides}
    gaps = {side: _interval(drawn[f"gap/{side}"], count=count) for side in sides}
    return {**rates, "gap": gaps, "balanced_accuracy": _interval(drawn["balanced_accuracy"], count=count)}


def _interval(values: Floats, *, count: int) -> Facts:
    low, high = percentiles(values[1:], LEVEL, count=count)
    return Interval(float(values[0]), low, high, count, "patients").as_dict()
