"""Labels and groups in, whole groups dealt out evenly over the classes: the arithmetic under `split`."""

import warnings
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from covid_xray.errors import BadSplit

FOLDS = 20  # a part is a whole number of these; 5 % is fine enough for any usual fraction

Labels = npt.NDArray[np.object_]
Folds = npt.NDArray[np.int64]
Counts = npt.NDArray[np.float64]


def assign_folds(labels: Labels, groups: Labels, *, folds: int, seed: int) -> npt.NDArray[np.int64]:
    """Fold 0..folds-1 of each image by scikit-learn's `StratifiedGroupKFold`, shuffled by `seed`.

    Raises:
        BadSplit: a class has fewer groups than folds, or would be missing from one of them.
    """
    require_groups(labels, groups, at_least=folds, what=f"{folds} folds")
    fold = _dealt(labels, groups, folds=folds, seed=seed)
    for label in np.unique(labels):
        absent = set(range(folds)) - set(fold[labels == label].tolist())
        if absent:
            raise BadSplit(
                f"expected class {label} in each of {folds} folds. Received: none in fold {min(absent)}, because its "
                f"patients or copies hang together; ask for fewer folds"
            )
    return fold


def require_groups(labels: Labels, groups: Labels, *, at_least: int, what: str) -> None:
    """Raise `BadSplit` when a class has fewer than `at_least` groups (patients, or radiographs with their copies)."""
    for label in np.unique(labels):
        have = len(np.unique(groups[labels == label]))
        if have < at_least:
            raise BadSplit(f"expected at least {at_least} patients of class {label} for {what}. Received: {have}")


def draw(labels: Labels, groups: Labels, *, shares: Mapping[str, float], seed: int) -> npt.NDArray[np.object_]:
    """The part of each image, in whole groups: about `shares` of them, each class in about its share, the rest "train".

    `StratifiedGroupKFold` deals up to 20 folds once; each part in turn takes folds, nearest to its share of every class
    first, until a further one would lead away from it. Every class has at least one group in every part and in train.

    Raises:
        BadSplit: a class has fewer groups than parts, or they cannot be parted so.
    """
    parts = list(shares)
    require_groups(labels, groups, at_least=len(parts) + 1, what=f"the parts {', '.join(['train', *parts])}")
    result = np.full(len(labels), "train", dtype=object)
    if not parts:
        return result
    fold = _dealt(labels, groups, folds=_folds(labels, groups), seed=seed)
    images, people = _per_fold(labels, groups, fold)
    free = list(range(len(images)))
    for step, name in enumerate(parts):
        chosen = _choose(images, people, free, shares[name], leave=len(parts) - step)
        missing = np.unique(labels)[images[chosen].sum(axis=0) == 0]
        if len(missing):
            raise BadSplit(f"expected class {missing[0]} in {name}. Received: its patients or copies hang together")
        result[np.isin(fold, chosen)] = name
        free = [k for k in free if k not in chosen]
    return result


def _choose(images: Counts, people: Counts, free: list[int], fraction: float, *, leave: int) -> list[int]:
    """Folds out of `free` that hold about `fraction` of every class and leave `leave` groups of each in the others."""
    shares = images / images.sum(axis=0)

    def distance(chosen: list[int]) -> float:
        return float(np.abs(shares[chosen].sum(axis=0) - fraction).sum())

    chosen: list[int] = []
    while True:
        absent = shares[chosen].sum(axis=0) == 0
        left = people[[k for k in free if k not in chosen]].sum(axis=0)
        rest = [k for k in free if k not in chosen and (left - people[k] >= leave).all()]
        nearer = [k for k in rest if distance([*chosen, k]) < distance(chosen)]
        # A rare class may be in no fold that helps the others: then one that has it comes in all the same.
        wanted = nearer or [k for k in rest if (shares[k] > 0)[absent].any()]
        if not wanted:
            break
        chosen.append(min(wanted, key=lambda k: distance([*chosen, k])))
    for k in list(chosen):
        fewer = [other for other in chosen if other != k]
        if distance(fewer) < distance(chosen) and (shares[fewer].sum(axis=0) > 0).all():
            chosen = fewer
    return chosen


def _dealt(labels: Labels, groups: Labels, *, folds: int, seed: int) -> npt.NDArray[np.int64]:
    from sklearn.model_selection import StratifiedGroupKFold

    result = np.zeros(len(labels), dtype=np.int64)
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class")
        for number, (_, held) in enumerate(splitter.split(np.zeros(len(labels)), labels, groups)):
            result[held] = number
    return result


def _per_fold(labels: Labels, groups: Labels, fold: Folds) -> tuple[Counts, Counts]:
    """Images and distinct groups of each class in each fold, folds x classes; a group is in one fold only."""
    _, code = np.unique(labels, return_inverse=True)
    _, group = np.unique(groups, return_inverse=True)
    shape = (int(fold.max()) + 1, int(code.max()) + 1)
    images, people = np.zeros(shape), np.zeros(shape)
    np.add.at(images, (fold, code), 1)
    distinct = np.unique(np.stack([fold, code, group], axis=1), axis=0)
    np.add.at(people, (distinct[:, 0], distinct[:, 1]), 1)
    return images, people


def _folds(labels: Labels, groups: Labels) -> int:
    """At most `FOLDS`, the number of groups, and the images of the largest class (scikit-learn refuses more)."""
    return max(2, min(FOLDS, len(np.unique(groups)), int(np.unique(labels, return_counts=True)[1].max())))
