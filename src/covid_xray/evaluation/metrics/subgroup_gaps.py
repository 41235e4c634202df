"""Compute the metrics of each subgroup and the largest gap between the groups of an attribute.

All groups share one set of bootstrap draws of patients. Values and gaps follow fairlearn's MetricFrame (Weerts and
others 2023). Accuracy is left out because it depends on the class mix of a group.
"""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from fairlearn.metrics import MetricFrame
from numpy.typing import NDArray

from covid_xray.evaluation.metrics.attributes import AGES, Attribute, read_attributes
from covid_xray.evaluation.metrics.intervals import (
    MIN_DEFINED,
    Interval,
    group_codes,
    proportion_masks,
    resample_weights,
    resampling_unit,
    summarise_rounds,
)
from covid_xray.evaluation.metrics.metrics import Floats, Ints, Prepared, compute, prepare, weighted
from covid_xray.evaluation.metrics.subgroups import SMALLEST, has_enough_images
from covid_xray.evaluation.predictions import Predictions

Groups = NDArray[np.str_] | None


@dataclass(frozen=True, eq=False)
class _Cell:
    """One group of an attribute: its row positions, prepared metrics, point estimates, and bootstrap rounds."""

    rows: Ints
    prepared: Prepared
    values: dict[str, float]
    drawn: dict[str, list[Floats]]

    def draw(self, weights: Floats) -> None:
        found = weighted(self.prepared, weights[:, self.rows], average_precision=False)
        for name in self.values:
            self.drawn.setdefault(name, []).append(found[name])

    def rounds(self, name: str) -> Floats:
        self.drawn[name] = [np.concatenate(self.drawn[name])]
        return self.drawn[name][0]


def measure_subgroups(
    predictions: Predictions, *, groups: Groups, rounds: int = 1000, seed: int = 0, level: float = 0.95
) -> dict[str, Any]:
    """Return the content of metrics.json under `subgroups`.

    A group below 20 images has only `hidden`; a metric that rests on fewer than 20 images of a class is left out. `gap`
    is the largest difference between two groups in one metric, or `None`. Its interval is simultaneous over all metrics
    and pairs of groups of the attribute (largest studentised deviation), because the gap was selected for being large.

    Args:
        predictions: N scored images; the attributes are columns of its table.
        groups: N patients, or `None` to resample images.
        rounds, seed, level: of the bootstrap; patients are drawn from all N images, so the size of a group varies.
    """
    codes = group_codes(groups, count=len(predictions.table))
    found = read_attributes(predictions.table)
    cells = {attribute.name: _cells(predictions, attribute) for attribute in found}
    for weights in resample_weights(codes, rounds=rounds, seed=seed):
        for cell in (cell for of_one in cells.values() for cell in of_one.values()):
            cell.draw(weights)
    facts = {
        attribute.name: {
            "title": attribute.title,
            "not_stated": int((attribute.groups == "").sum()),
            "groups": {
                name: _facts(predictions, np.flatnonzero(attribute.groups == name), cells[attribute.name].get(name),
                             codes=codes, unit=resampling_unit(groups), level=level)
                for name in attribute.order
            },
            "gap": _gap(predictions, attribute, cells[attribute.name], codes=codes, level=level),
        }
        for attribute in found
    }  # fmt: skip
    return {"smallest": SMALLEST, "age_bands": [name for _, name in AGES], "attributes": facts}


def metric_frame(predictions: Predictions, column: NDArray[np.object_]) -> MetricFrame:
    """Return fairlearn's table of the metrics of the groups in `column` (N names); NaN where images are too few."""
    names = _metric_names(predictions.classes)
    rows = np.arange(len(column))
    return MetricFrame(
        metrics={name: _metric(name, predictions) for name in names},
        y_true=predictions.labels,
        y_pred=predictions.predicted,
        sensitive_features=pd.Series(column, name="group"),
        sample_params={name: {"rows": rows} for name in names},
    )


def _metric_names(classes: tuple[str, ...]) -> list[str]:
    kinds = ("sensitivity", "specificity", "auroc")
    return ["auroc_macro", *(f"{kind}/{name}" for kind in kinds for name in classes)]


def _metric(figure: str, predictions: Predictions) -> Callable[..., float]:
    """Return the metric as fairlearn calls it: it passes row numbers, so the probabilities are looked up by row."""
    p, classes = predictions.probabilities, predictions.classes

    def value(y_true: Ints, y_pred: Ints, rows: Ints) -> float:
        return _values(np.asarray(y_true), p[rows], classes).get(figure, np.nan)

    return value


def _values(labels: Ints, p: Floats, classes: tuple[str, ...]) -> dict[str, float]:
    counts = {name: int((labels == code).sum()) for code, name in enumerate(classes)}
    found = compute(labels, p, classes)
    return {name: found[name] for name in _metric_names(classes) if name in found and has_enough_images(name, counts)}


def _cells(predictions: Predictions, attribute: Attribute) -> dict[str, _Cell]:
    cells = {}
    labels, p, classes = predictions.labels, predictions.probabilities, predictions.classes
    for name in attribute.order:
        rows = np.flatnonzero(attribute.groups == name)
        if len(rows) >= SMALLEST:
            values = _values(labels[rows], p[rows], classes)
            cells[name] = _Cell(rows, prepare(labels[rows], p[rows], classes), values, {})
    return cells


def _facts(
    predictions: Predictions, rows: Ints, cell: _Cell | None, *, codes: Ints, unit: str, level: float
) -> dict[str, Any]:
    if cell is None:
        return {"hidden": f"n < {SMALLEST}, hidden"}
    part = predictions.table["label"].to_numpy()[rows]
    return {
        "n_images": len(rows),
        "n_patients": len(set(codes[rows])) if unit == "patients" else None,
        "labels": {name: int((part == name).sum()) for name in predictions.classes},
        "figures": {name: found.as_dict() for name, found in _intervals(predictions, cell, codes, unit, level).items()},
    }


def _intervals(predictions: Predictions, cell: _Cell, codes: Ints, unit: str, level: float) -> Mapping[str, Interval]:
    sides = proportion_masks(predictions.labels[cell.rows], predictions.probabilities[cell.rows], predictions.classes)
    drawn = {name: cell.rounds(name) for name in cell.values}
    return summarise_rounds(cell.values, drawn, sides, codes=codes[cell.rows], unit=unit, level=level)


def _gap(
    predictions: Predictions, attribute: Attribute, cells: Mapping[str, _Cell], *, codes: Ints, level: float
) -> dict[str, Any] | None:
    if len(cells) < 2:
        return None
    mask = np.isin(attribute.groups.astype(str), list(cells))
    found = metric_frame(predictions.take(mask), attribute.groups[mask])
    several = found.by_group.notna().sum() > 1
    differences = found.difference(method="between_groups")[several].astype(float)
    if differences.empty:
        return None
    figure = str(differences.idxmax())
    values = found.by_group[figure].astype(float)
    low, high = str(values.idxmin()), str(values.idxmax())
    ends = _simultaneous(cells, figure, (high, low), level=level)
    return {
        "figure": figure,
        "value": float(differences[figure]),
        "ci_low": ends[0],
        "ci_high": ends[1],
        "n": len(np.unique(codes[mask])),
        "lowest": {"group": low, "value": float(values[low])},
        "highest": {"group": high, "value": float(values[high])},
        "figures": {str(name): float(value) for name, value in differences.items()},
    }


def _simultaneous(
    cells: Mapping[str, _Cell], figure: str, pair: tuple[str, str], *, level: float
) -> tuple[float | None, float | None]:
    """Return the ends of the simultaneous interval of `figure`'s difference between the groups of `pair`."""
    largest = np.zeros(0)
    for name in {name for cell in cells.values() for name in cell.values}:
        having = [cell for cell in cells.values() if name in cell.values]
        for one, other in itertools.combinations(having, 2):
            deviation, error = _deviation(one, other, name)
            if error > 0:
                scaled = np.abs(deviation) / error
                largest = np.fmax(largest, scaled) if largest.size else scaled
    _, error = _deviation(cells[pair[0]], cells[pair[1]], figure)
    if error == 0 or not largest.size:
        return None, None
    value = cells[pair[0]].values[figure] - cells[pair[1]].values[figure]
    reach = float(np.nanquantile(largest, level)) * error
    return max(-1.0, value - reach), min(1.0, value + reach)


def _deviation(one: _Cell, other: _Cell, figure: str) -> tuple[Floats, float]:
    """Return each round's deviation from the difference, and its standard error; 0 where it is undefined."""
    difference = one.rounds(figure) - other.rounds(figure)
    defined = np.isfinite(difference)
    if defined.mean() < MIN_DEFINED:
        return difference, 0.0
    return difference - (one.values[figure] - other.values[figure]), float(difference[defined].std())
