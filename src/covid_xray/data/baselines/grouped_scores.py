"""Predict labels out of fold with extra-trees, and score them with bootstrap intervals over patients."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float64]
TREES = 300
REPLICATES = 1000
MEASURES = ("accuracy", "balanced_accuracy", "macro_f1")


@dataclass(frozen=True)
class Score:
    """A score with its 95 % bootstrap interval over patients, and the number of images."""

    value: float
    ci_low: float
    ci_high: float
    n: int


def cross_validate(
    features: Matrix, label: npt.NDArray[np.str_], fold: npt.NDArray[np.int64], *, seed: int, trees: int = TREES
) -> npt.NDArray[np.str_]:
    """Predict the label of each of N images with extra-trees trained on the other folds, classes weighted equally.

    Args:
        features: N x D.
        label: N.
        fold: N, the fold of each image.
        seed: of the trees.
        trees: number of trees.
    """
    from sklearn.ensemble import ExtraTreesClassifier

    predicted = np.empty_like(label)
    for number in np.unique(fold):
        held = fold == number
        model = ExtraTreesClassifier(trees, class_weight="balanced", random_state=seed, n_jobs=1)
        predicted[held] = model.fit(features[~held], label[~held]).predict(features[held])
    return predicted


def scores(
    label: npt.NDArray[np.str_],
    predicted: npt.NDArray[np.str_],
    people: npt.NDArray[np.object_],
    *,
    seed: int,
    replicates: int = REPLICATES,
) -> dict[str, Score]:
    """Return accuracy, balanced accuracy and macro-F1 with percentile intervals over resampled patients.

    Args:
        label, predicted: N.
        people: N, the patient or group of each image.
        seed: of the bootstrap.
        replicates: number of bootstrap samples.
    """
    classes, true = np.unique(label, return_inverse=True)
    guess = np.searchsorted(classes, predicted)
    _, person = np.unique(people.astype(str), return_inverse=True)
    n = len(classes)
    # One confusion matrix per patient; that of a sample of patients is their sum.
    each = np.zeros((person.max() + 1, n * n))
    np.add.at(each, (person, true * n + guess), 1)
    random = np.random.default_rng(seed)
    draws = random.multinomial(len(each), np.full(len(each), 1 / len(each)), size=replicates)
    values = measures(each.sum(axis=0).reshape(1, n, n))
    spread = measures((draws.astype(np.float64) @ each).reshape(-1, n, n))
    low, high = np.nanpercentile(spread, [2.5, 97.5], axis=0)
    return {
        name: Score(float(values[0, k]), float(low[k]), float(high[k]), len(label)) for k, name in enumerate(MEASURES)
    }


def measures(confusion: Matrix) -> Matrix:
    """Compute accuracy, balanced accuracy and macro-F1 of B confusion matrices (true x predicted): B x C x C -> B x 3.

    A class without images counts in neither mean.
    """
    right = np.diagonal(confusion, axis1=1, axis2=2)
    true, predicted = confusion.sum(axis=2), confusion.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        recall = np.where(true > 0, right / true, np.nan)
        f1 = np.where(true > 0, 2 * right / (true + predicted), np.nan)
        accuracy = right.sum(axis=1) / confusion.sum(axis=(1, 2))
    return np.stack([accuracy, np.nanmean(recall, axis=1), np.nanmean(f1, axis=1)], axis=1)
