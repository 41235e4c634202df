"""A manifest in, whether the class is told by which clinical fields are filled in out: a check of the doctor."""

import math
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from covid_xray import clinical
from covid_xray.data.doctor.pitfall import Pitfall, Verdict, cramers_v, judged
from covid_xray.data.manifest.clinical_table import clinical_table, patterns
from covid_xray.data.manifest.manifest import Manifest
from covid_xray.data.split.groups import groups

QUESTION = "Is the class hidden from who sees only which clinical fields are filled in?"
ADVICE = (
    "That is the collection talking, not the disease. Do not feed missing-indicators to a network: covid-xray fuse "
    "lets values speak and keeps what is filled in silent."
)
EXAMPLES = 8


def states_anything(manifest: Manifest) -> bool:
    """Whether the table has a clinical column with a value in it, age and sex among them."""
    columns = [name for name in clinical.COLUMNS if name in manifest.table]
    return any((manifest.table[name] != "").any() for name in columns)


def missingness(manifest: Manifest) -> Pitfall:
    """How well which clinical fields are stated, without any value, names the class.

    The class of an image is guessed from the patterns of other patients, every class counted the same; the balanced
    accuracy above chance, as a share of what is left above chance, is judged: 0.1 warns, 0.3 fails.
    """
    table = clinical_table(manifest.table)
    pattern = patterns(table.known)
    told = balanced_guess(pattern, manifest.table["label"].to_numpy(dtype=str), groups(manifest).to_numpy(dtype=str))
    chance = 1 / max(1, len(manifest.classes))
    if len(manifest.classes) < 2:
        says = "There is one class; it cannot be told."
        return Pitfall("missingness", QUESTION, Verdict.WARN, math.nan, "balanced accuracy", says)
    label = manifest.table["label"]
    v = cramers_v(label, pd.Series(np.where(pattern == "", "nothing", pattern), index=label.index))
    says = (
        f"Which fields are filled in names the class with a balanced accuracy of {told:.2f} (guessing: {chance:.2f}); "
        f"Cramer's V of class and pattern is {v:.2f}. Fields: {', '.join(table.columns)}."
    )
    if len(table.refused):
        says += f" {len(table.refused)} values are out of range or in another unit."
    verdict = judged((told - chance) / (1 - chance), warn=0.1, fail=0.3)
    shown = tuple(
        f"{name or 'nothing'}: {_of(pattern == name, label.to_numpy(dtype=str))}" for name in _common(pattern)
    )
    advice = "" if verdict is Verdict.PASS else ADVICE
    return Pitfall("missingness", QUESTION, verdict, told, "balanced accuracy of missingness", says, advice, shown)


def balanced_guess(
    clue: NDArray[Any], label: NDArray[Any], people: NDArray[Any], *, folds: int = 5, seed: int = 0
) -> float:
    """Balanced accuracy of naming each image's label by the clues of other patients; a tie counts its share.

    Args:
        clue, label, people: N texts each.
        folds, seed: the patients of each fold are guessed from those of the others.
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


def _common(pattern: NDArray[Any]) -> list[str]:
    names, counts = np.unique(pattern, return_counts=True)
    return [str(name) for name in names[np.argsort(-counts, kind="stable")][:EXAMPLES]]


def _of(mask: NDArray[Any], label: NDArray[Any]) -> str:
    names, counts = np.unique(label[mask], return_counts=True)
    return ", ".join(f"{count:,} {name}" for name, count in zip(names, counts, strict=True))
