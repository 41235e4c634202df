"""Distribute whole groups over folds or parts so that each gets its share of every class."""

import warnings
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from covid_xray.errors import BadSplit

FOLDS = 20  # a part is a whole number of folds, so that fractions are met to about 5 %

Labels = npt.NDArray[np.object_]
Folds = npt.NDArray[np.int64]
Counts = npt.NDArray[np.float64]


def assign_folds(labels: Labels, groups: Labels, *, folds: int, seed: int) -> npt.NDArray[np.int64]:
    """Assign each image to a fold 0..folds-1 by scikit-learn's `StratifiedGroupKFold`, shuffled by `seed`.

    Raises:
        BadSplit: a class has fewer groups than folds, or would be missing from a fold.
    """
    require_groups(labels, groups, at_least=folds, what=f"{folds} folds")
    fold = _stratified_folds(labels, groups, folds=folds, seed=seed)
    for label in np.unique(labels):
        absent = set(range(folds)) - set(fold[labels == label].tolist())
        if absent:
            where = f"fold {min(absent)} of {folds}"
            raise BadSplit(f"No image of class {label} in {where}: its images form few groups. Ask for fewer folds.")
    return fold


def require_groups(labels: Labels, groups: Labels, *, at_least: int, what: str) -> None:
    """Raise `BadSplit` when a class has fewer than `at_least` groups (patients, or radiographs with their copies)."""
    for label in np.unique(labels):
        have = len(np.unique(groups[labels == label]))
        if have < at_least:
            raise BadSplit(f"Too few patients of class {label} for {what}: {have}. At least {at_least} are needed.")


def assign_parts(labels: Labels, groups: Labels, *, shares: Mapping[str, float], seed: int) -> npt.NDArray[np.object_]:
    """Assign whole groups to parts that hold about `shares` of the images of every class; the rest is "train".

    `StratifiedGroupKFold` makes up to 20 folds; each part in turn takes the folds that bring it nearest to its share
    of every class. Every class has at least one group in every part and in train.

    Raises:
        BadSplit: a class has fewer groups than parts, or no such assignment was found.
    """
    parts = list(shares)
    require_groups(labels, groups, at_least=len(parts) + 1, what=f"the parts {', '.join(['train', *parts])}")
    result = np.full(len(labels), "train", dtype=object)
    if not parts:
        return result
    fold = _stratified_folds(labels, groups, folds=_fold_count(labels, groups), seed=seed)
    images, people = _per_fold(labels, groups, fold)
    free = list(range(len(images)))
    for step, name in enumerate(parts):
        chosen = _choose(images, people, free, shares[name], leave=len(parts) - step)
        missing = np.unique(labels)[images[chosen].sum(axis=0) == 0]
        if len(missing):
            raise BadSplit(f"No image of class {missing[0]} for the part {name}: its images form too few groups.")
        result[np.isin(fold, chosen)] = name
        free = [k for k in free if k not in chosen]
    return result


def _choose(images: Counts, people: Counts, free: list[int], fraction: float, *, leave: int) -> list[int]:
    """Choose folds of `free` with about `fraction` of every class that leave `leave` groups of each class."""
    shares = images / images.sum(axis=0)

    def distance(chosen: list[int]) -> float:
        return float(np.abs(shares[chosen].sum(axis=0) - fraction).sum())

    chosen: list[int] = []
    while True:
        absent = shares[chosen].sum(axis=0) == 0
        left = people[[k for k in free if k not in chosen]].sum(axis=0)
        rest = [k for k in free if k not in chosen and (left - people[k] >= leave).all()]
        nearer = [k for k in rest if distance([*chosen, k]) < distance(chosen)]
        # A rare class may be only in folds that do not reduce the distance: then one of them is added.
        candidates = nearer or [k for k in rest if (shares[k] > 0)[absent].any()]
        if not candidates:
            break
        chosen.append(min(candidates, key=lambda k: distance([*chosen, k])))
    for k in list(chosen):
        fewer = [other for other in chosen if other != k]
        if distance(fewer) < distance(chosen) and (shares[fewer].sum(axis=0) > 0).all():
            chosen = fewer
    return chosen


def _stratified_folds(labels: Labels, groups: Labels, *, folds: int, seed: int) -> npt.NDArray[np.int64]:
    from sklearn.model_selection import StratifiedGroupKFold

    result = np.zeros(len(labels), dtype=np.int64)
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class")
        for number, (_, held) in enumerate(splitter.split(np.zeros(len(labels)), labels, groups)):
            result[held] = number
    return result


def _per_fold(labels: Labels, groups: Labels, fold: Folds) -> tuple[Counts, Counts]:
    """Count images and distinct groups of each class in each fold: folds x classes each."""
    _, code = np.unique(labels, return_inverse=True)
    _, group = np.unique(groups, return_inverse=True)
    shape = (int(fold.max()) + 1, int(code.max()) + 1)
    images, people = np.zeros(shape), np.zeros(shape)
    np.add.at(images, (fold, code), 1)
    distinct = np.unique(np.stack([fold, code, group], axis=1), axis=0)
    np.add.at(people, (distinct[:, 0], distinct[:, 1]), 1)
    return images, people


def _fold_count(labels: Labels, groups: Labels) -> int:
    """Return `FOLDS`, or fewer where there are fewer groups or images of the largest class (scikit-learn's limit)."""
    return max(2, min(FOLDS, len(np.unique(groups)), int(np.unique(labels, return_counts=True)[1].max())))
