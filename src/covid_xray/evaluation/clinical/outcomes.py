"""Measure how well embeddings and clinical values predict the outcome of covid patients (exploratory).

Who was imaged, admitted and recorded depends on the hospital. Uses one image of each patient (the earliest), only
sources that record both outcomes, and logistic regression fitted inside the folds; missingness alone is the control.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata

from covid_xray.data.manifest.clinical_table import NAMES
from covid_xray.evaluation.metrics.intervals import Interval, percentiles

OUTCOMES = {
    "went_icu": ("intensive care", "Y"),
    "intubated": ("intubation", "Y"),
    "survival": ("death", "N"),
    "supplemental_o2": ("supplemental oxygen", "Y"),
}
LEFT_OUT = ("supplemental_o2",)  # an outcome itself, never a predictor
FEWEST = 10  # patients with and without the outcome: in a source, and in all
FOLDS, COMPONENTS, STRENGTH = 5, 8, 0.1
Floats = NDArray[np.float64]
Facts = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Patients:
    """N covid images."""

    table: pd.DataFrame  # their rows: `image`, `source`, and the columns of `OUTCOMES` with Y, N or ""
    embedding: Floats  # N x D
    clinical: Floats  # N x F, NaN where absent
    people: NDArray[np.str_]  # N, who is who

    def take(self, rows: Any) -> "Patients":
        """Select rows by mask or indices."""
        table = self.table.iloc[np.arange(len(self.table))[rows]].reset_index(drop=True)
        return Patients(table, self.embedding[rows], self.clinical[rows], self.people[rows])


def measure_outcomes(patients: Patients, *, rounds: int = 1000, seed: int = 0) -> dict[str, Facts]:
    """Measure each outcome; one with too few patients has only `too_few` and its counts.

    Returns:
        outcome to `title`, `sources`, `patients`, `events`, `models` (image, clinical, both, missingness), `base_brier`
        of predicting the share of events for everybody, and `gain` in AUROC.
    """
    return {name: _outcome(patients, name, rounds=rounds, seed=seed) for name in OUTCOMES if name in patients.table}


def first_images(patients: Patients, outcome: str) -> tuple[Patients, NDArray[np.bool_], dict[str, dict[str, int]]]:
    """Return the earliest image of each patient from sources with both outcomes, the outcomes, and the source counts.

    A patient has the outcome if any image's row says so.
    """
    event = OUTCOMES[outcome][1]
    stated = (patients.table[outcome] != "").to_numpy()
    known = patients.take(stated)
    has = (
        known.table.groupby(known.people)[outcome].transform(lambda cells: (cells == event).any()).to_numpy(dtype=bool)
    )
    counts = {str(s): _both(known.people[rows], has[rows]) for s, rows in known.table.groupby("source").indices.items()}
    good = [source for source, count in counts.items() if min(count.values()) >= FEWEST]
    day = np.nan_to_num(known.clinical[:, NAMES.index("days_since_onset")], nan=np.inf)
    order = np.lexsort((known.table["image"].to_numpy(dtype=str), day))
    order = order[known.table["source"].isin(good).to_numpy()[order]]
    _, first = np.unique(known.people[order], return_index=True)
    chosen = order[np.sort(first)]
    return known.take(chosen), has[chosen], counts


def model_features(patients: Patients) -> dict[str, Floats]:
    """Return the features of each model, N x P, NaN where a value is absent."""
    kept = [k for k, name in enumerate(NAMES) if name not in LEFT_OUT and (~np.isnan(patients.clinical[:, k])).any()]
    values = patients.clinical[:, kept]
    return {
        "image": patients.embedding,
        "clinical": values,
        "both": np.hstack([patients.embedding, values]),
        "missingness": (~np.isnan(values)).astype(np.float64),
    }


def cross_predicted(features: Floats, has: NDArray[np.bool_], *, images: int, seed: int) -> Floats:
    """Return N cross-validated probabilities; the first `images` columns of N x P features are an embedding."""
    from sklearn.compose import ColumnTransformer
    from sklearn.decomposition import PCA
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    picture = make_pipeline(StandardScaler(), PCA(COMPONENTS, random_state=0), StandardScaler())
    values = make_pipeline(SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler())
    columns = np.arange(features.shape[1])
    parts = [("image", picture, columns[:images]), ("values", values, columns[images:])]
    prepare = ColumnTransformer([part for part in parts if len(part[2])])
    model = make_pipeline(prepare, LogisticRegression(C=STRENGTH, max_iter=1000))
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    return np.asarray(cross_val_predict(model, features, has, cv=folds, method="predict_proba")[:, 1])


def auroc(has: NDArray[np.bool_], p: Floats) -> float:
    """Return the AUROC, ties count half; NaN with one class."""
    events, count = int(has.sum()), len(has)
    if not 0 < events < count:
        return float("nan")
    return float((rankdata(p)[has].sum() - events * (events + 1) / 2) / (events * (count - events)))


def slope(has: NDArray[np.bool_], p: Floats) -> float:
    """Return the calibration slope (Cox 1958): below 1 overconfident, above 1 underconfident; NaN with one class."""
    if not 0 < has.sum() < len(has):
        return float("nan")
    x = np.column_stack([np.ones(len(p)), np.log(p / (1 - p))])
    weights = np.zeros(2)
    for _ in range(25):
        q = 1 / (1 + np.exp(-np.clip(x @ weights, -30, 30)))
        curvature = x.T @ (x * (q * (1 - q))[:, None]) + 1e-9 * np.eye(2)
        step = np.linalg.solve(curvature, x.T @ (has - q))
        weights = weights + np.clip(step, -3, 3)
        if np.abs(step).max() < 1e-8:
            break
    return float(weights[1])


def brier(has: NDArray[np.bool_], p: Floats) -> float:
    """Return the Brier score of one class, 0..1."""
    return float(((p - has) ** 2).mean())


FIGURES: Mapping[str, Callable[[NDArray[np.bool_], Floats], float]] = {
    "auroc": auroc, "brier": brier, "slope": slope, "mean_predicted": lambda has, p: float(p.mean()),
}  # fmt: skip


def _outcome(patients: Patients, name: str, *, rounds: int, seed: int) -> Facts:
    one, has, counts = first_images(patients, name)
    facts: Facts = {"title": OUTCOMES[name][0], "sources": counts, "patients": len(has), "events": int(has.sum())}
    if min(has.sum(), (~has).sum(), len(has)) < FEWEST:
        return {**facts, "too_few": True}
    width = one.embedding.shape[1]
    answers = {
        model: cross_predicted(x, has, images=width if model in ("image", "both") else 0, seed=seed)
        for model, x in model_features(one).items()
    }
    rows = np.random.default_rng(seed).integers(len(has), size=(rounds, len(has)))
    result = {
        model: {key: _interval(figure, has, p, rows) for key, figure in FIGURES.items()} for model, p in answers.items()
    }
    better = max(("image", "clinical"), key=lambda model: result[model]["auroc"]["value"])
    drawn = np.array([auroc(has[r], answers["both"][r]) - auroc(has[r], answers[better][r]) for r in rows])
    low, high = percentiles(drawn, count=len(has))
    value = result["both"]["auroc"]["value"] - result[better]["auroc"]["value"]
    gain = {"over": better, **Interval(value, low, high, len(has), "patients").as_dict()}
    return {**facts, "models": result, "base_brier": float(has.mean() * (1 - has.mean())), "gain": gain}


def _interval(
    figure: Callable[[NDArray[np.bool_], Floats], float], has: NDArray[np.bool_], p: Floats, rows: NDArray[np.int64]
) -> Facts:
    drawn = np.array([figure(has[r], p[r]) for r in rows])
    low, high = percentiles(drawn, count=len(has))
    return Interval(figure(has, p), low, high, len(has), "patients").as_dict()


def _both(people: NDArray[np.str_], has: NDArray[np.bool_]) -> dict[str, int]:
    return {"with": len(set(people[has])), "without": len(set(people[~has]))}
