"""Evaluate decisions on test images: operating points, decision curves, and a stated population."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from covid_xray.bundle.contents import OperatingPoints
from covid_xray.evaluation.metrics.calibration import parse_prevalence
from covid_xray.evaluation.metrics.decision_curve import decision_curve
from covid_xray.evaluation.metrics.metrics import Floats
from covid_xray.evaluation.metrics.operating_points import OneVsRest, measure_points, one_vs_rest, positive_classes
from covid_xray.evaluation.metrics.prevalence import (
    PREVALENCES,
    calibrated_prevalences,
    evaluate_at_prevalence,
    image_weights,
    predictive_values_at,
    reweight_predictions,
)
from covid_xray.evaluation.predictions import ModelIdentity, Predictions

Facts = dict[str, Any]


@dataclass(frozen=True, eq=False)
class _Population:
    """A stated class mix: C prevalences, the reweighted predictions, and N image weights."""

    shares: Floats
    after: Predictions
    weights: Floats

    def share(self, name: str) -> float:
        return float(self.shares[self.after.classes.index(name)])


def evaluate_decisions(
    predictions: Predictions,
    model: ModelIdentity,
    *,
    groups: NDArray[Any] | None = None,
    sources: Sequence[str] | None = None,
    stated: str | None = None,
    rounds: int = 1000,
    seed: int = 0,
) -> Facts:
    """Return the parts `operating_points`, `prevalence` and `decision_curve` of metrics.json, each by class.

    Args:
        predictions: test images, calibrated.
        model: the network and the facts of its bundle.
        groups: N patients, or `None`.
        sources: N names, or `None`.
        stated: class mix of a population, such as `covid=0.05,virus=0.1`.
        rounds, seed: of the bootstrap.

    Raises:
        UsageError: an invalid class mix, or a class of it without images.
    """
    draws: Facts = {"rounds": rounds, "seed": seed}
    population = None if stated is None else _population(predictions, model, stated)
    points: Facts = {}
    curves: Facts = {}
    stored = _stored(model)
    for name in stored or positive_classes(predictions.classes):
        about = one_vs_rest(predictions, name, groups=groups, sources=sources)
        if name in stored:
            points[name] = _points(about, stored[name], population.share(name) if population else None, draws)
        curve = decision_curve(about, **draws)
        if curve is not None:
            curves[name] = {**curve, "stated": _curve_in(population, name, groups, draws) if population else None}
    prevalence = None
    if population:
        prevalence = evaluate_at_prevalence(
            predictions, population.shares, calibration=model.contents.calibration, groups=groups, **draws
        )
    return {"operating_points": points, "prevalence": prevalence, "decision_curve": curves}


def _stored(model: ModelIdentity) -> dict[str, OperatingPoints]:
    """Return the operating points that were chosen on this very network."""
    contents = model.contents
    points = contents.operating_points or {}
    return {name: about for name, about in points.items() if about.sha256 == contents.model.sha256}


def _population(predictions: Predictions, model: ModelIdentity, stated: str) -> _Population:
    old, _ = calibrated_prevalences(model.contents.calibration, predictions)
    named = dict(zip(predictions.classes, map(float, old), strict=True))
    new = parse_prevalence(stated, predictions.classes, old=named)
    return _Population(new, reweight_predictions(predictions, old=old, new=new), image_weights(predictions, new))


def _points(about: OneVsRest, stored: OperatingPoints, share: float | None, draws: Facts) -> Facts:
    found = measure_points(about, stored, **draws)
    shares = sorted({*PREVALENCES, *([share] if share else [])})
    for point in found["points"].values():
        if point["threshold"] is not None:
            point["by_prevalence"] = predictive_values_at(about, point["threshold"], prevalences=shares, **draws)
    return found


def _curve_in(population: _Population, name: str, groups: NDArray[Any] | None, draws: Facts) -> Facts | None:
    """Return the decision curve of the reweighted probabilities in the stated population."""
    about = one_vs_rest(population.after, name, groups=groups)
    return decision_curve(about, weights=population.weights, prevalence=population.share(name), **draws)
