"""Measure what clinical values add to the image: metrics of several models on the same images, with differences."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from covid_xray.data.manifest.manifest import Manifest
from covid_xray.evaluation.metrics.intervals import bootstrap
from covid_xray.evaluation.metrics.metrics import compute
from covid_xray.evaluation.model_comparison import Pair, compare
from covid_xray.evaluation.predictions import Predictions, probability_columns

SHOWN = ("balanced_accuracy", "macro_f1", "auroc_macro", "nll", "ece")
Floats = NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class Variant:
    """One model input."""

    name: str  # stable slug
    sees: str  # what it sees, for people
    probabilities: Floats  # N x C
    # further answers of the same kind, such as other permutations; their mean is reported
    draws: tuple[Floats, ...] = ()

    def take(self, mask: NDArray[np.bool_]) -> "Variant":
        """Select the images where `mask` is true."""
        return replace(self, probabilities=self.probabilities[mask], draws=tuple(draw[mask] for draw in self.draws))


def measure_added_value(
    variants: Sequence[Variant], manifest: Manifest, labels: NDArray[np.int64], people: NDArray[np.str_],
    classes: tuple[str, ...], *, rounds: int = 1000, seed: int = 0,
) -> dict[str, Any]:  # fmt: skip
    """Return the metrics of each variant and its paired difference from the first.

    Args:
        variants: the image alone first.
        manifest: N images.
        labels, people: N class codes, N patients.
        classes: C names.
        rounds, seed: of the bootstrap over patients, the same draws for all.

    Returns:
        `images`, `patients`, `labels` and `variants`: name to `sees`, `figures`, `minus_image` (empty for the first)
        and, where a variant has draws, `mean_of_draws`.
    """
    first = predictions_of(manifest, variants[0].probabilities, classes)
    found: dict[str, Any] = {}
    for variant in variants:
        p = np.asarray(variant.probabilities, np.float64)
        drawn = bootstrap(labels, p, classes, groups=people, rounds=rounds, seed=seed)
        figures = {name: figure.as_dict() for name, figure in drawn.items() if _kept(name)}
        found[variant.name] = {"sees": variant.sees, "figures": figures, "minus_image": {}}
        if variant is not variants[0]:
            pair = Pair(first, predictions_of(manifest, p, classes), np.asarray(people), (0, 0))
            differences = compare(pair, rounds=rounds, seed=seed)["figures"]
            found[variant.name]["minus_image"] = {name: differences[name] for name in SHOWN if name in differences}
        if variant.draws:
            means = [compute(labels, np.asarray(draw, np.float64), classes) for draw in variant.draws]
            found[variant.name]["mean_of_draws"] = {
                name: float(np.mean([mean[name] for mean in means])) for name in SHOWN if name in means[0]
            }
    counts = {name: int((labels == code).sum()) for code, name in enumerate(classes)}
    return {"images": len(labels), "patients": len(set(people.tolist())), "labels": counts, "variants": found}


def _kept(name: str) -> bool:
    return name in SHOWN or name.startswith(("sensitivity/", "auroc/"))


def predictions_of(
    manifest: Manifest, probabilities: Floats, classes: tuple[str, ...], *, keep: Sequence[str] = ()
) -> Predictions:
    """Return N x C probabilities as predictions for the images of a manifest, with these columns of its table."""
    p = np.asarray(probabilities, np.float64)
    kept = [name for name in keep if name in manifest.table]
    table = manifest.table[["image", "label", *kept]].reset_index(drop=True)
    table = table.assign(predicted=[classes[code] for code in p.argmax(axis=1)], reasons="")
    columns = dict(zip(probability_columns(classes), p.T, strict=True))
    return Predictions(table.assign(**columns), classes, pd.DataFrame(columns=["image", "label", "code", "message"]))
