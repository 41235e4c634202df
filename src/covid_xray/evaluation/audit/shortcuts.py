"""Score the network when only the lungs are visible, and when they are not.

A part that can be hidden without loss was not needed. A lower score is weaker evidence, because the picture also
becomes less familiar. Both survivals are therefore lower bounds, and the best way of hiding counts.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from covid_xray.evaluation.audit.interventions import INTERVENTIONS, WHOLE, Intervention, prepare_input
from covid_xray.evaluation.audit.masked_images import MaskedImages
from covid_xray.evaluation.metrics.intervals import Interval, group_codes, percentiles, resample_weights
from covid_xray.evaluation.metrics.metrics import Floats, prepare, weighted
from covid_xray.evaluation.metrics.subgroups import by_column, worst_group
from covid_xray.evaluation.predictions import Predictions, probability_columns
from covid_xray.inference.predictor import Predictor

SCORES = ("macro_f1", "balanced_accuracy", "auroc_macro")
# AUROC, because hiding a part also shifts all answers towards one class: macro-F1 then falls although the images are
# still separated, and would call a shortcut harmless that only lost its threshold.
HEADLINE = "auroc_macro"
SURVIVAL = {"only": "only", "without": "hidden"}  # which interventions count for which
BATCH = 32
SOURCE_ROUNDS = 200

Groups = NDArray[np.str_] | None
Facts = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Outputs:
    """Probabilities (N x C) of every intervention by name, and the embedding (N x D) of the whole pictures."""

    probabilities: Mapping[str, Floats]
    embedding: NDArray[np.float32]


@dataclass(frozen=True)
class Settings:
    """Settings of the bootstrap."""

    rounds: int = 1000
    seed: int = 0
    level: float = 0.95


def run_interventions(
    predictor: Predictor, scenes: MaskedImages, *, progress: Callable[[int, int], None] | None = None
) -> Outputs:
    """Run the network on every intervention; `progress` is called with (runs done, runs in all)."""
    total, done = len(scenes.table), 0
    everything = prepare_input(scenes.pixels, scenes.lungs)
    found: dict[str, list[Floats]] = {way.name: [] for way in INTERVENTIONS}
    embedding = []
    for first in range(0, total, BATCH):
        x = everything.take(slice(first, first + BATCH))
        for way in INTERVENTIONS:
            output = predictor.run(way.change(x))
            found[way.name].append(output["probabilities"].astype(np.float64))
            if way is WHOLE:
                embedding.append(output["embedding"])
            done += len(x.pixels)
            if progress:
                progress(done, total * len(INTERVENTIONS))
    return Outputs({name: np.concatenate(parts) for name, parts in found.items()}, np.concatenate(embedding))


def chance_levels(labels: NDArray[np.int64]) -> dict[str, float]:
    """Return what guessing scores: 1 / classes for balanced accuracy and macro-F1, one half for AUROC.

    Guessing with the true class shares gives each class an F1 of its share, so their mean is 1 / classes.
    """
    share = 1 / len(np.unique(labels))
    return {"macro_f1": share, "balanced_accuracy": share, "auroc_macro": 0.5}


def score_interventions(
    answers: Outputs, scenes: MaskedImages, classes: tuple[str, ...], *, groups: Groups, settings: Settings
) -> tuple[list[Facts], Facts | None]:
    """Score each intervention and what survives, all on the same images and bootstrap draws.

    Returns:
        The rows of `run_schema.Condition`; `retained` is (score - chance) / (whole picture's score - chance). And for
        each score the best that survives with `only` the lungs and `without` them, chosen anew in every round so that
        the interval includes the choice; `None` where the network is not above chance.
    """
    drawn = _Draws(answers, scenes, classes, groups=groups, settings=settings)
    above = [score for score in drawn.scores if drawn.above(score)]
    rows = [
        {
            "name": way.name,
            "shows": way.shows,
            "lungs": way.lungs,
            "figures": {score: drawn.figure(way.name, score) for score in drawn.scores},
            "retained": {score: drawn.retained([way.name], score) for score in above},
            "answers": _answers(answers.probabilities[way.name], classes),
            **_by_source(_predictions(way, answers, scenes, classes), groups, settings),
        }
        for way in INTERVENTIONS
    ]
    if HEADLINE not in above:
        return rows, None
    ways = {key: [way.name for way in INTERVENTIONS if way.lungs == kind] for key, kind in SURVIVAL.items()}
    return rows, {score: {key: drawn.retained(names, score) for key, names in ways.items()} for score in above}


class _Draws:
    """Every score of every intervention under the same resamples of patients."""

    def __init__(
        self, answers: Outputs, scenes: MaskedImages, classes: tuple[str, ...], *, groups: Groups, settings: Settings
    ) -> None:
        labels = class_codes(scenes, classes)
        self.codes = group_codes(groups, count=len(labels))
        self.unit = "images" if groups is None else "patients"
        self.level = settings.level
        self.chance = chance_levels(labels)
        prepared = {name: prepare(labels, p, classes) for name, p in answers.probabilities.items()}
        everyone = np.ones((1, len(labels)))
        self.values = {name: _scores(weighted(item, everyone)) for name, item in prepared.items()}
        self.scores = [score for score in SCORES if np.isfinite(self.values[WHOLE.name][score][0])]
        blocks: dict[str, list[dict[str, Floats]]] = {name: [] for name in prepared}
        for weights in resample_weights(self.codes, rounds=settings.rounds, seed=settings.seed):
            for name, item in prepared.items():
                blocks[name].append(_scores(weighted(item, weights)))
        self.drawn = {
            name: {score: np.concatenate([part[score] for part in parts]) for score in SCORES}
            for name, parts in blocks.items()
        }

    def figure(self, name: str, score: str) -> Facts:
        return self._figure(self.values[name][score][0], self.drawn[name][score])

    def above(self, score: str) -> bool:
        """Tell whether the network is above chance on the whole pictures, with its whole interval."""
        low = self.figure(WHOLE.name, score)["ci_low"]
        return low is not None and low > self.chance[score]

    def retained(self, names: list[str], score: str) -> Facts:
        best = max(names, key=lambda name: self.values[name][score][0])
        chance, whole = self.chance[score], WHOLE.name
        value = (self.values[best][score][0] - chance) / (self.values[whole][score][0] - chance)
        highest = np.stack([self.drawn[name][score] for name in names]).max(axis=0)
        above = self.drawn[whole][score] - chance
        shares = np.divide(highest - chance, above, out=np.full(len(above), np.nan), where=above > 0)
        return {**self._figure(value, shares), "condition": best}

    def _figure(self, value: float, drawn: Floats) -> Facts:
        return Interval(float(value), *percentiles(drawn, self.level), int(self.codes.max()) + 1, self.unit).as_dict()


def class_codes(scenes: MaskedImages, classes: tuple[str, ...]) -> NDArray[np.int64]:
    """Return the N class codes."""
    return np.array([classes.index(label) for label in scenes.table["label"]], dtype=np.int64)


def _scores(figures: dict[str, Floats]) -> dict[str, Floats]:
    return {score: figures[score] for score in SCORES}


def _answers(probabilities: Floats, classes: tuple[str, ...]) -> dict[str, float]:
    counts = np.bincount(probabilities.argmax(axis=1), minlength=len(classes))
    return {name: float(count / len(probabilities)) for name, count in zip(classes, counts, strict=True)}


def _predictions(way: Intervention, answers: Outputs, scenes: MaskedImages, classes: tuple[str, ...]) -> Predictions:
    p = answers.probabilities[way.name]
    table = scenes.table[["image", "label"]].assign(predicted=np.array(classes, dtype=object)[p.argmax(axis=1)])
    table = table.assign(**dict(zip(probability_columns(classes), p.T, strict=True)), reasons="")
    if "source" in scenes.table:
        table = table.assign(source=scenes.table["source"].to_numpy())
    return Predictions(table, classes, table.head(0)[["image", "label"]].assign(code="", message=""))


def _by_source(predictions: Predictions, groups: Groups, settings: Settings) -> Facts:
    table = predictions.table
    if "source" not in table or (table["source"] == "").all():
        return {"by_source": {}, "worst_source": None}
    rounds = min(settings.rounds, SOURCE_ROUNDS)
    found = by_column(predictions, list(table["source"]), groups=groups, rounds=rounds, seed=settings.seed)
    accuracy = {
        name: {"n_images": facts["n_images"], "accuracy": (facts["figures"] or {}).get("accuracy")}
        for name, facts in found.items()
    }
    return {"by_source": accuracy, "worst_source": worst_group(found, "accuracy")}
