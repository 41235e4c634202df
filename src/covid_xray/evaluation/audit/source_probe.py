"""Measure how well the source of an image can be predicted from its embedding within one class.

Within a class the disease is the same, so what predicts the source is not the disease.
"""

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from covid_xray.data.baselines.grouped_scores import scores
from covid_xray.data.manifest.manifest import Manifest
from covid_xray.data.split.groups import groups
from covid_xray.data.split.split import make_folds
from covid_xray.errors import BadSplit

FOLDS = 5


def source_from_embedding(
    embedding: NDArray[np.float32], manifest: Manifest, *, folds: int = FOLDS, seed: int = 0
) -> dict[str, Any]:
    """Run a logistic regression in patient-grouped folds, within each class that has two or more sources.

    Args:
        embedding: N x D.
        manifest: the N images in the same order.
        folds, seed: of the cross-validation.

    Returns:
        As `run_schema.SourceProbe`: results by class, and the reasons why a class was skipped.
    """
    facts: dict[str, Any] = {}
    skipped: dict[str, str] = {}
    table = manifest.table.reset_index(drop=True)
    if "source" not in table:
        return {"classes": facts, "skipped": {"all": "no image states its source"}}
    for label, rows in table[table["source"] != ""].groupby("label"):
        if rows["source"].nunique() < 2:
            skipped[str(label)] = "all images are of one source"
            continue
        try:
            facts[str(label)] = _probe_class(embedding, manifest, rows.index.to_numpy(), folds=folds, seed=seed)
        except BadSplit as error:
            skipped[str(label)] = error.message
    return {"classes": facts, "skipped": skipped}


def _probe_class(
    embedding: NDArray[np.float32], manifest: Manifest, rows: NDArray[np.int64], *, folds: int, seed: int
) -> Mapping[str, Any]:
    """Measure one class; sources with fewer people than folds are left out."""
    part = manifest.take(manifest.table["image"].to_numpy()[rows].tolist())
    source = part.table["source"].to_numpy(dtype=str)
    people = groups(part).groupby(source).nunique()
    asked = np.isin(source, people.index[people >= folds])
    if (people >= folds).sum() < 2:
        raise BadSplit(f"too few people by source: {people.to_dict()}; it takes 2 sources of {folds}")
    part = part.take(asked)
    label = source[asked]
    part = replace(part, table=part.table.assign(label=label))
    predicted = _cross_validated(
        embedding[rows[asked]].astype(np.float64), label, make_folds(part, folds=folds, seed=seed).to_numpy()
    )
    found = scores(label, predicted, groups(part).to_numpy(), seed=seed)
    return {
        "sources": {str(name): int(count) for name, count in zip(*np.unique(label, return_counts=True), strict=True)},
        "images": len(label),
        "chance": 1 / len(np.unique(label)),
        "balanced_accuracy": asdict(found["balanced_accuracy"]),
    }


def _cross_validated(
    features: NDArray[np.float64], label: NDArray[np.str_], fold: NDArray[np.int64]
) -> NDArray[np.str_]:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    predicted = np.empty_like(label)
    for number in np.unique(fold):
        held = fold == number
        # The embedding may be wider than the class has images: a strong penalty keeps it from learning them by heart.
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, class_weight="balanced", max_iter=2000))
        predicted[held] = model.fit(features[~held], label[~held]).predict(features[held])
    return predicted
