"""Check whether missingness, the pattern of filled-in clinical fields, predicts the class."""

import math
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from covid_xray import clinical
from covid_xray.data.doctor.pitfall import Pitfall, Verdict, cramers_v, judge
from covid_xray.data.manifest.clinical_table import clinical_table, patterns
from covid_xray.data.manifest.manifest import Manifest
from covid_xray.data.split.groups import groups

QUESTION = "Does missingness alone predict the class?"
ADVICE = (
    "This is an artefact of the collection, not of the disease. Do not give missing-indicators to a network: "
    "covid-xray fuse uses values only."
)
EXAMPLES = 8


def has_clinical_values(manifest: Manifest) -> bool:
    """Return whether the table has a value in any clinical column, age and sex included."""
    columns = [name for name in clinical.COLUMNS if name in manifest.table]
    return any((manifest.table[name] != "").any() for name in columns)


def missingness(manifest: Manifest) -> Pitfall:
    """Measure how well the pattern of stated clinical fields, without their values, predicts the class.

    The class is predicted from the patterns of other patients, each class counted the same. The balanced accuracy,
    rescaled so that chance is 0 and perfect is 1, warns above 0.1 and fails above 0.3.
    """
    if len(manifest.classes) < 2:
        says = "There is only one class."
        return Pitfall("missingness", QUESTION, Verdict.WARN, math.nan, "balanced accuracy", says)
    table = clinical_table(manifest.table)
    pattern = patterns(table.known)
    label = manifest.table["label"].to_numpy(dtype=str)
    accuracy = predict_by_clue(pattern, label, groups(manifest).to_numpy(dtype=str))
    chance = 1 / len(manifest.classes)
    v = cramers_v(pd.Series(label), pd.Series(np.where(pattern == "", "nothing", pattern)))
    says = (
        f"Missingness alone predicts the class with a balanced accuracy of {accuracy:.2f} (chance: {chance:.2f}); "
        f"Cramer's V of class and pattern is {v:.2f}. Fields: {', '.join(table.columns)}."
    )
    if len(table.refused):
        says += f" {len(table.refused)} values are out of range or in another unit."
    verdict = judge((accuracy - chance) / (1 - chance), warn=0.1, fail=0.3)
    examples = tuple(f"{name or 'nothing'}: {_label_counts(label[pattern == name])}" for name in _most_common(pattern))
    advice = "" if verdict is Verdict.PASS else ADVICE
    measure = "balanced accuracy of missingness"
    return Pitfall("missingness", QUESTION, verdict, accuracy, measure, says, advice, examples)


def predict_by_clue(
    clue: NDArray[Any], label: NDArray[Any], people: NDArray[Any], *, folds: int = 5, seed: int = 0
) -> float:
    """Return the balanced accuracy of predicting labels from the clues of other patients; a tie counts its share.

    Args:
        clue, label, people: N texts each.
        folds, seed: grouped folds; each is predicted from the others.
    """
    clues, clue_code = np.unique(clue, return_inverse=True)
    labels, code = np.unique(label, return_inverse=True)
    names, person = np.unique(people, return_inverse=True)
    fold = np.random.default_rng(seed).permutation(len(names))[person] % folds
    right = np.zeros(len(labels))
    for number in range(folds):
        held = fold == number
        counts = np.zeros((len(clues), len(labels)))
        np.add.at(counts, (clue_code[~held], code[~held]), 1)
        share = counts / np.maximum(counts.sum(axis=0), 1)
        best = share == share.max(axis=1, keepdims=True)
        credit = best / best.sum(axis=1, keepdims=True)
        np.add.at(right, code[held], credit[clue_code[held], code[held]])
    return float((right / np.bincount(code)).mean())


def _most_common(pattern: NDArray[Any]) -> list[str]:
    names, counts = np.unique(pattern, return_counts=True)
    return [str(name) for name in names[np.argsort(-counts, kind="stable")][:EXAMPLES]]


def _label_counts(label: NDArray[Any]) -> str:
    names, counts = np.unique(label, return_counts=True)
    return ", ".join(f"{count:,} {name}" for name, count in zip(names, counts, strict=True))
