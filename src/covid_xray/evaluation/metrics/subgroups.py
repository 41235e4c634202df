"""Compute metrics by source or another column, and find the worst group."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from covid_xray.data.manifest.manifest import Manifest
from covid_xray.data.split.groups import groups as joined_groups
from covid_xray.evaluation.metrics.intervals import bootstrap
from covid_xray.evaluation.predictions import Predictions

SMALLEST = 20  # images; below that a figure says more about chance than about the network
CONFOUNDED = 0.3  # Cramer's V between class and source
NOT_STATED = "not stated"


def patient_groups(predictions: Predictions, manifest: Manifest) -> NDArray[np.str_] | None:
    """Return the patient (or shared file or duplicate group) of each scored image; `None` where no patient is named."""
    if "patient_id" not in manifest.table or (manifest.table["patient_id"] == "").all():
        return None
    return np.asarray(joined_groups(manifest).loc[predictions.table["image"]].tolist(), dtype=np.str_)


def by_column(
    predictions: Predictions,
    values: Sequence[str],
    *,
    groups: NDArray[np.str_] | None,
    rounds: int = 1000,
    seed: int = 0,
) -> dict[str, dict[str, Any]]:
    """Return metrics with intervals for each value of a column, as `schema.Group`.

    A group below 20 images has no figures; a metric that rests on fewer than 20 images of a class is left out.

    Args:
        predictions: N scored images.
        values: N values of the column, "" where not stated.
        groups: N patients, or `None`.
        rounds, seed: of the bootstrap.
    """
    table: dict[str, dict[str, Any]] = {}
    column = np.array([value or NOT_STATED for value in values], dtype=object)
    for value in sorted(set(column)):
        mask = column == value
        part = predictions.take(mask)
        inside = None if groups is None else groups[mask]
        counts = part.table["label"].value_counts()
        table[str(value)] = {
            "n_images": len(part.table),
            "n_patients": None if inside is None else len(set(inside)),
            "labels": {name: int(counts.get(name, 0)) for name in predictions.classes},
            **_figures(part, inside, rounds=rounds, seed=seed),
        }
    return table


def worst_group(table: dict[str, dict[str, Any]], figure: str) -> dict[str, Any] | None:
    """Return the group with the lowest value of `figure` beside the mean over the groups; `None` below two groups."""
    known = {name: facts["figures"][figure] for name, facts in table.items() if figure in (facts["figures"] or {})}
    if len(known) < 2:
        return None
    name = min(known, key=lambda key: known[key]["value"])
    mean = float(np.mean([figure["value"] for figure in known.values()]))
    return {"name": name, "figure": figure, **known[name], "mean": mean, "groups": len(known)}


def _figures(part: Predictions, groups: NDArray[np.str_] | None, *, rounds: int, seed: int) -> dict[str, Any]:
    if len(part.table) < SMALLEST:
        return {"figures": None, "note": f"too few: under {SMALLEST} images"}
    found = bootstrap(part.labels, part.probabilities, part.classes, groups=groups, rounds=rounds, seed=seed)
    counts = part.table["label"].value_counts()
    kept = [name for name in found if has_enough_images(name, {c: int(counts.get(c, 0)) for c in part.classes})]
    return {"figures": {name: found[name].as_dict() for name in kept}, "note": ""}


def has_enough_images(figure: str, counts: dict[str, int]) -> bool:
    """Tell whether a group has 20 images of everything that the metric is computed from."""
    kind, _, name = figure.partition("/")
    if not name:
        present = [count for count in counts.values() if count]
        macro = figure in ("balanced_accuracy", "macro_f1", "auroc_macro")
        return not macro or (len(present) > 1 and min(present) >= SMALLEST)
    rest = sum(counts.values()) - counts[name]
    needs = {"sensitivity": [counts[name]], "specificity": [rest]}.get(kind, [counts[name], rest])
    return min(needs) >= SMALLEST
