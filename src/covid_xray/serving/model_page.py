"""The model card as a page: what bundle.json says of the network that answers in, its facts and its evaluation out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request, Response

from covid_xray.bundle.gate import MEASURED
from covid_xray.bundle.thresholds import POINTS
from covid_xray.serving.access import Reader, Server
from covid_xray.serving.rendering import NAMES, page
from covid_xray.serving.words import CHECKS

Facts = Mapping[str, Any]
FIGURES = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "macro_f1": "Macro-F1",
    "auroc_macro": "AUROC, mean over the classes",
    "nll": "Negative log-likelihood",
    "brier": "Brier score",
    "ece": "Calibration error (ECE)",
}
KINDS = {
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "precision": "Precision",
    "f1": "F1",
    "auroc": "AUROC",
    "auprc": "Average precision",
}


@dataclass(frozen=True)
class Figure:
    """One figure with its 95 % interval; `low` and `high` are `None` where there is none."""

    name: str
    value: float | None
    low: float | None
    high: float | None
    images: int | None


@dataclass(frozen=True)
class Point:
    """One operating point: its threshold or the reason why there is none, and what it reached when it was chosen."""

    of: str
    name: str
    threshold: float | None
    reason: str
    sensitivity: Figure | None
    specificity: Figure | None


def router() -> APIRouter:
    """The route."""
    pages = APIRouter()

    @pages.get("/model")
    def model(service: Server, request: Request, who: Reader) -> Response:
        """The network that answers now."""
        predictor, facts = service.predictor, service.predictor.bundle.facts
        shown = {
            "bundle": predictor.bundle,
            "engine": predictor.engine,
            "precision": predictor.precision,
            "facts": facts,
            "trained": facts.get("training_data") or {},
            "gate_checks": [CHECKS[name] for name in MEASURED] if facts.get("gate") else [],
            "points": points(facts.get("operating_points")),
            "figures": figures(facts.get("metrics")),
            "part": (facts.get("metrics") or {}).get("part", ""),
        }
        return page(request, "model.html", shown, who=who)

    return pages


def figures(metrics: Facts | None) -> list[Figure]:
    """The recorded figures: those of the whole first, then by class."""
    found = [
        (name, value) for name, value in (metrics or {}).items() if isinstance(value, Mapping) and "value" in value
    ]
    return [_figure(_title(name), value) for name, value in sorted(found, key=lambda it: "/" in it[0])]


def points(stored: Facts | None) -> list[Point]:
    """The operating points of every class that has some, in their own order."""
    return [
        Point(
            of=name,
            name=point,
            threshold=it.get("threshold"),
            reason=str(it.get("reason") or ""),
            sensitivity=_figure("", it["sensitivity"]) if it.get("sensitivity") else None,
            specificity=_figure("", it["specificity"]) if it.get("specificity") else None,
        )
        for name, about in (stored or {}).items()
        for point, it in sorted(about["points"].items(), key=lambda pair: _rank(pair[0]))
    ]


def _figure(name: str, it: Facts) -> Figure:
    return Figure(name, it.get("value"), it.get("ci_low"), it.get("ci_high"), it.get("n"))


def _title(name: str) -> str:
    kind, slash, of = name.partition("/")
    return f"{KINDS.get(kind, kind)}, {NAMES.get(of, of)}" if slash else FIGURES.get(name, name.replace("_", " "))


def _rank(point: str) -> int:
    return POINTS.index(point) if point in POINTS else len(POINTS)
