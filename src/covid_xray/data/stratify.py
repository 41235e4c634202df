"""Labels and groups in, whole groups dealt out evenly over the classes: the arithmetic under `split`."""

import warnings

import numpy as np
import numpy.typing as npt

from covid_xray.errors import BadSplit

FOLDS = 20  # a part is a whole number of these; 5 % is fine enough for any usual fraction

Labels = npt.NDArray[np.object_]


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


def draw(labels: Labels, groups: Labels, *, fraction: float, seed: int, leave: int = 1) -> npt.NDArray[np.int64]:
    """Indices of about `fraction` of the images, in whole groups, each class in about its share.

    `StratifiedGroupKFold` deals up to 20 folds; folds are taken, nearest to the wanted share of every class first,
    until a further one would lead away from it. Every class keeps at least one group inside and `leave` outside.

    Raises:
        BadSplit: no such choice.
    """
    fold = _dealt(labels, groups, folds=_folds(labels, groups), seed=seed)
    classes = np.unique(labels)
    shares = np.array([[np.mean(fold[labels == c] == k) for c in classes] for k in range(fold.max() + 1)])

    def distance(chosen: list[int]) -> float:
        return float(np.abs(shares[chosen].sum(axis=0) - fraction).sum())

    chosen: list[int] = []
    while True:
        absent = shares[chosen].sum(axis=0) == 0
        rest = [k for k in range(len(shares)) if k not in chosen and _leaves(labels, groups, fold, [*chosen, k], leave)]
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
    missing = classes[shares[chosen].sum(axis=0) == 0]
    if len(missing):
        raise BadSplit(f"expected class {missing[0]} on both sides. Received: its patients or copies hang together")
    return np.flatnonzero(np.isin(fold, chosen))


def _dealt(labels: Labels, groups: Labels, *, folds: int, seed: int) -> npt.NDArray[np.int64]:
    from sklearn.model_selection import StratifiedGroupKFold

    result = np.zeros(len(labels), dtype=np.int64)
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class")
        for number, (_, held) in enumerate(splitter.split(np.zeros(len(labels)), labels, groups)):
            result[held] = number
    return result


def _leaves(labels: Labels, groups: Labels, fold: npt.NDArray[np.int64], chosen: list[int], leave: int) -> bool:
    outside = ~np.isin(fold, chosen)
    return all(len(np.unique(groups[outside & (labels == label)])) >= leave for label in np.unique(labels))


def _folds(labels: Labels, groups: Labels) -> int:
    """At most `FOLDS`, the number of groups, and the images of the largest class (scikit-learn refuses more)."""
    return max(2, min(FOLDS, len(np.unique(groups)), int(np.unique(labels, return_counts=True)[1].max())))
