"""Compare the image alone and the joint model by sex and age, and measure what group thresholds cost."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from covid_xray.data.manifest.manifest import Manifest
from covid_xray.data.manifest.tables import number_column
from covid_xray.evaluation.clinical.added_value import predictions_of
from covid_xray.evaluation.metrics.attributes import read_attributes
from covid_xray.evaluation.metrics.mitigation import Scores, compare_thresholds
from covid_xray.evaluation.metrics.subgroup_gaps import measure_subgroups

ASKED = ("sex", "age")
MIDDLE = 50  # years; bands as narrow as those of the tables hold too few patients to choose thresholds on
POSITIVE = "covid"
Facts = dict[str, Any]


def measure_bias(
    answers: Mapping[str, NDArray[np.floating]], manifest: Manifest, people: NDArray[np.str_],
    classes: tuple[str, ...], *, positive: str = POSITIVE, rounds: int = 1000, seed: int = 0,
) -> Facts | None:  # fmt: skip
    """Return what clinical.json holds under `bias`; `None` where the network does not know the positive class.

    Args:
        answers: name (image, joint) to N x C probabilities.
        manifest: N images with the columns sex, age and split; thresholds are chosen on what is not `test`.
        people: N patients.
        classes: C names.
        positive: the class that a threshold decides about.
        rounds, seed: of the bootstrap.

    Returns:
        `positive`, and for each name of `answers`: `groups` and `mitigation` by attribute.
    """
    if positive not in classes:
        return None
    facts: Facts = {"positive": positive}
    table = manifest.table
    test = (table["split"] == "test").to_numpy()
    columns = {"sex": next(a.groups for a in read_attributes(table) if a.name == "sex"), "age": _halves(table)}
    for name, p in answers.items():
        predictions = predictions_of(manifest, p, classes, keep=ASKED)
        found = measure_subgroups(predictions, groups=people, rounds=rounds, seed=seed)["attributes"]
        repaired = {}
        for asked in ASKED:
            scores = Scores(
                (table["label"] == positive).to_numpy(), np.asarray(p, np.float64)[:, classes.index(positive)],
                columns[asked], people,
            )  # fmt: skip
            repaired[asked] = compare_thresholds(scores.take(~test), scores.take(test), rounds=rounds, seed=seed)
        facts[name] = {"groups": {asked: found[asked] for asked in ASKED}, "mitigation": repaired}
    return facts


def _halves(table: pd.DataFrame) -> NDArray[np.object_]:
    """Return `under 50`, `50 and over`, or "" where no age is stated."""
    years = number_column(table, "age").to_numpy()
    names = np.where(years < MIDDLE, f"under {MIDDLE}", f"{MIDDLE} and over")
    return np.where(np.isnan(years), "", names).astype(object)
