"""Covid patients with embedding, clinical values and what became of them in; how far one tells the other out.

Exploratory: who was photographed, sent to intensive care and written down is the hospitals' doing. One image of each
patient (the earliest), sources only that record both ends, logistic regression with everything fitted inside the folds,
and beside it what the mere presence of the values tells.
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
    """N covid images.

    Args:
        table: their rows: `image`, `source`, and the columns of `OUTCOMES` with Y, N or "".
        embedding: N x D.
        clinical: N x F, NaN where absent.
        people: N, who is who.
    """

    table: pd.DataFrame
    embedding: Floats
    clinical: Floats
    people: NDArray[np.str_]

    def take(self, rows: Any) -> "Patients":
        """The rows of a mask or of indices."""
        table = self.table.iloc[np.arange(len(self.table))[rows]].reset_index(drop=True)
        return Patients(table, self.embedding[rows], self.clinical[rows], self.people[rows])


def outcomes(patients: Patients, *, rounds: int = 1000, seed: int = 0) -> dict[str, Facts]:
    """Facts of each outcome that enough patients have and have not; the others with `too_few` and their counts.

    Returns:
        outcome -> `title`, `sources` (source to patients with and without), `patients`, `events`, and `models`: image,
        clinical, both, missingness, each with `auroc`, `brier`, `slope` and `mean_predicted` (with intervals);
        `base_brier` of telling everybody the share of events; `gain` of both over the better of image and clinical.
    """
    return {name: _outcome(patients, name, rounds=rounds, seed=seed) for name in OUTCOMES if name in patients.table}


def first_images(patients: Patients, outcome: str) -> tuple[Patients, NDArray[np.bool_], dict[str, dict[str, int]]]:
    """One image of each patient, the earliest, of sources that record both ends; who has the outcome; counts by source.

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


def models(patients: Patients) -> dict[str, Floats]:
    """Features of each model: N x whatever, NaN where a value is absent."""
    kept = [k for k, name in enumerate(NAMES) if name not in LEFT_OUT and (~np.isnan(patients.clinical[:, k])).any()]
    values = patients.clinical[:, kept]
    return {
        "image": patients.embedding,
        "clinical": values,
        "both": np.hstack([patients.embedding, values]),
        "missingness": (~np.isnan(values)).astype(np.float64),
    }


def cross_predicted(features: Floats, has: NDArray[np.bool_], *, images: int, seed: int) -> Floats:
    """N probabilities, each by a model that never saw the patient.

    Args:
        features: N x P; the first `images` columns are an embedding, of which the first components are kept.
        has: N.
        images: columns of the embedding, 0 for none.
        seed: of the folds.
    """
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
    """Share of pairs in the right order, ties half; NaN without both ends."""
    events, count = int(has.sum()), len(has)
    if not 0 < events < count:
        return float("nan")
    return float((rankdata(p)[has].sum() - events * (events + 1) / 2) / (events * (count - events)))


def slope(has: NDArray[np.bool_], p: Floats) -> float:
    """Calibration slope (Cox 1958): 1 where p is neither too sure (below 1) nor too timid; NaN without both ends."""
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
    """Mean squared distance of the probability from what happened, 0..1."""
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
        for model, x in models(one).items()
    }
    rows = np.random.default_rng(seed).integers(len(has), size=(rounds, len(has)))
    told = {
        model: {key: _interval(figure, has, p, rows) for key, figure in FIGURES.items()} for model, p in answers.items()
    }
    better = max(("image", "clinical"), key=lambda model: told[model]["auroc"]["value"])
    drawn = np.array([auroc(has[r], answers["both"][r]) - auroc(has[r], answers[better][r]) for r in rows])
    low, high = percentiles(drawn, count=len(has))
    gain = {"over": better, "value": told["both"]["auroc"]["value"] - told[better]["auroc"]["value"], "ci_low": low,
            "ci_high": high}  # fmt: skip
    return {**facts, "models": told, "base_brier": float(has.mean() * (1 - has.mean())), "gain": gain}


def _interval(
    figure: Callable[[NDArray[np.bool_], Floats], float], has: NDArray[np.bool_], p: Floats, rows: NDArray[np.int64]
) -> Facts:
    drawn = np.array([figure(has[r], p[r]) for r in rows])
    low, high = percentiles(drawn, count=len(has))
    return Interval(figure(has, p), low, high, len(has), "patients").as_dict()


def _both(people: NDArray[np.str_], has: NDArray[np.bool_]) -> dict[str, int]:
    return {"with": len(set(people[has])), "without": len(set(people[~has]))}
