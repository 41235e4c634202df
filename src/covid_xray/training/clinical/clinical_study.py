"""Measure what clinical values add to an image network: image alone, values alone, both, and missingness alone.

Every image is predicted by models that never saw its patient. The design that ships is compared with the usual one,
which has missing-indicators as features, and with missingness alone: in collected data, which fields are stated mostly
shows how the collection was made.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from covid_xray import clinical
from covid_xray.data.manifest.clinical_table import NAMES
from covid_xray.evaluation.clinical.added_value import Variant, measure_added_value
from covid_xray.evaluation.clinical.bias import measure_bias
from covid_xray.evaluation.clinical.clinical_predictions import ClinicalPredictions, Floats, Rows
from covid_xray.training.clinical.fuse import CrossFitted, cross_fit
from covid_xray.training.clinical.fusion_training import Recipe, count_patients, usable

PERMUTATIONS, TREES = 20, 100
Facts = dict[str, Any]
Step = Callable[[int, int, str], None]


def study(
    data: ClinicalPredictions, classes: tuple[str, ...], *, recipe: Recipe | None = None, rounds: int = 1000,
    seed: int = 0, step: Step | None = None,
) -> Facts:  # fmt: skip
    """Compute the content of `worth` in `clinical.json`.

    Args:
        data: images that the image network was not trained on.
        classes: of the network.
        recipe: of the fusion networks.
        rounds, seed: of the bootstrap, the folds and the permutations.
        step: called with (models done, models in all, next step).

    Returns:
        `bias` (see `bias.measure_bias`); `fields` (n of each); `all` and `stated` (see
        `added_value.measure_added_value`), the latter of the images that state a usable field, of the classes for which
        it is usable; `missingness` (whether it alone predicts the class); `folds`, `refused`, `failed`.
    """
    recipe, rows = recipe or Recipe(seed=seed), data.rows
    variants = _variants(data, recipe, seed=seed, step=step or (lambda done, total, note: None))
    speaking = usable(rows)
    known: NDArray[np.bool_] = ~np.isnan(rows.clinical)
    stated = known[:, speaking.any(axis=1)].any(axis=1) & np.asarray(speaking.any(axis=0))[rows.labels]
    options = {"rounds": rounds, "seed": seed}
    everything = measure_added_value(variants, data.manifest, rows.labels, rows.people, classes, **options)
    inside = measure_added_value(
        [variant.take(stated) for variant in variants], data.manifest.take(stated), rows.labels[stated],
        rows.people[stated], classes, **options,
    )  # fmt: skip
    return {
        "bias": _bias(data, {v.name: v.probabilities for v in variants}, classes, rounds=rounds, seed=seed),
        "fields": _counts(data, classes), "all": everything, "stated": inside, "folds": 5,
        "missingness": _missingness(everything, len(set(rows.labels.tolist()))),
        "refused": data.refused, "failed": data.failed,
    }  # fmt: skip


def permuted(rows: Rows, *, seed: int) -> Rows:
    """Exchange the clinical values between patients."""
    random = np.random.default_rng(seed)
    people = np.unique(rows.people)
    other = dict(zip(people.tolist(), random.permutation(people).tolist(), strict=True))
    images = {name: np.flatnonzero(rows.people == name) for name in people.tolist()}
    chosen = [random.choice(images[other[name]]) for name in rows.people.tolist()]
    return _with(rows, rows.clinical[chosen])


def emptied(rows: Rows) -> Rows:
    """Set every stated value of a field to the same number, so that only missingness is left."""
    constant = np.array([field.low for field in clinical.FIELDS], np.float32)
    return _with(rows, np.where(np.isnan(rows.clinical), np.nan, constant).astype(np.float32))


def predict_with_trees(data: ClinicalPredictions, features: NDArray[np.float64], *, count: int, seed: int) -> Floats:
    """Predict N x C probabilities with extra-trees in the same folds; classes weigh the same."""
    from sklearn.ensemble import ExtraTreesClassifier

    from covid_xray.data.split.split import make_folds

    fold = make_folds(data.manifest, folds=5, seed=seed).to_numpy()
    found = np.zeros((len(fold), count), np.float32)
    for number in np.unique(fold):
        held = fold == number
        trees = ExtraTreesClassifier(
            TREES, class_weight="balanced", min_samples_leaf=3, random_state=seed, n_jobs=1
        ).fit(features[~held], data.rows.labels[~held])
        found[np.ix_(held, trees.classes_)] = trees.predict_proba(features[held])
    return found


def _variants(data: ClinicalPredictions, recipe: Recipe, *, seed: int, step: Step) -> list[Variant]:
    rows, count = data.rows, data.rows.probabilities.shape[1]
    known = ~np.isnan(rows.clinical)
    naive = Recipe(**{**recipe.__dict__, "naive": True})
    made = 0

    def fitted(other: Rows, by: Recipe, note: str) -> CrossFitted:
        nonlocal made
        step(made, 4, note)
        made += 1
        return cross_fit(data, other, by, seed=seed)

    ours = fitted(rows, recipe, "joint")
    usual = fitted(rows, naive, "joint, the usual design")
    values = fitted(rows.without_image(), recipe, "clinical values")
    only = fitted(emptied(rows), naive, "image and missingness")
    step(4, 4, "")
    swapped = [ours.joint(permuted(rows, seed=seed + k)) for k in range(PERMUTATIONS)]
    stated = np.hstack([np.nan_to_num(rows.clinical, nan=-1), known])
    trees = {
        "missingness": predict_with_trees(data, known.astype(np.float64), count=count, seed=seed),
        "clinical-usual": predict_with_trees(data, stated, count=count, seed=seed),
    }
    return [
        Variant("image", "the image alone", rows.probabilities),
        Variant("clinical", "clinical values alone, blind to what is missing", values.joint(rows.without_image())),
        Variant("joint", "image and clinical values, blind to what is missing (ships)", ours.joint(rows)),
        Variant("joint-permuted", "the same with the values of other patients", swapped[0], tuple(swapped)),
        Variant("missingness", "which fields are filled in, nothing else", trees["missingness"]),
        Variant("clinical-usual", "clinical values and which are filled in", trees["clinical-usual"]),
        Variant("joint-usual", "image, values and missing-indicators (the usual design)", usual.joint(rows)),
        Variant("joint-missingness", "image and which fields are filled in", only.joint(emptied(rows))),
    ]


def _bias(
    data: ClinicalPredictions, answers: Mapping[str, Floats], classes: tuple[str, ...], *, rounds: int, seed: int
) -> Facts | None:
    """Measure groups by sex and age, for the image alone and with clinical values; thresholds come from other parts."""
    both = {"image": answers["image"], "joint": answers["joint"]}
    return measure_bias(both, data.manifest, data.rows.people, classes, rounds=rounds, seed=seed)


def _with(rows: Rows, values: Floats) -> Rows:
    return Rows(rows.probabilities, rows.embedding, values, rows.labels, rows.people)


def _counts(data: ClinicalPredictions, classes: tuple[str, ...]) -> dict[str, Facts]:
    """Count images and patients of each class that state each field, for the fields that any of them states."""
    people, known = count_patients(data.rows), ~np.isnan(data.rows.clinical)
    found: dict[str, Facts] = {}
    for number, name in enumerate(NAMES):
        if known[:, number].any():
            images = [int((known[:, number] & (data.rows.labels == code)).sum()) for code in range(len(classes))]
            found[name] = {
                "images": dict(zip(classes, images, strict=True)),
                "patients": dict(zip(classes, people[number].tolist(), strict=True)),
                "speaks": bool(usable(data.rows)[number].any()),
            }
    return found


def _missingness(found: Mapping[str, Any], classes: int) -> Facts:
    """Decide whether missingness alone predicts the class better than chance, by the lower end of its interval."""
    figure = found["variants"]["missingness"]["figures"]["balanced_accuracy"]
    low = figure["ci_low"]
    return {"balanced_accuracy": figure, "chance": 1 / classes, "tells": bool(low is not None and low > 1 / classes)}
