"""Serve the model page: the facts and the evaluation that bundle.json records of the loaded network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request, Response

from covid_xray.inference.gate import MEASURED, PART
from covid_xray.inference.thresholds import POINTS
from covid_xray.serving.http.access import Reader, Server
from covid_xray.serving.views.languages import gettext, mark
from covid_xray.serving.views.rendering import page
from covid_xray.serving.views.study_view import CHECKS, POINT_TITLES

Facts = Mapping[str, Any]
FIGURES = {
    "accuracy": mark("Accuracy"),
    "balanced_accuracy": mark("Balanced accuracy"),
    "macro_f1": mark("Macro-F1"),
    "auroc_macro": mark("AUROC, mean over the classes"),
    "nll": mark("Negative log-likelihood"),
    "brier": mark("Brier score"),
    "ece": mark("Calibration error (ECE)"),
}
KINDS = {
    "sensitivity": mark("Sensitivity"),
    "specificity": mark("Specificity"),
    "precision": mark("Precision"),
    "f1": mark("F1"),
    "auroc": mark("AUROC"),
    "auprc": mark("Average precision"),
}


@dataclass(frozen=True)
class Figure:
    """A metric with its 95 % interval; `None` where there is none."""

    name: str
    value: float | None
    low: float | None
    high: float | None
    images: int | None


@dataclass(frozen=True)
class Point:
    """An operating point: its threshold or the reason for having none, and what it reached when it was chosen."""

    of: str
    name: str
    threshold: float | None
    reason: str
    sensitivity: Figure | None
    specificity: Figure | None


def router() -> APIRouter:
    """Build the route."""
    pages = APIRouter()

    @pages.get("/model")
    def model(service: Server, request: Request, who: Reader) -> Response:
        predictor, facts = service.predictor, service.predictor.bundle.facts
        shown = {
            "bundle": predictor.bundle,
            "engine": predictor.engine,
            "point_titles": POINT_TITLES,
            "precision": predictor.precision,
            "facts": facts,
            "trained": facts.get("training_data") or {},
            "gate_checks": checks(facts.get("gate")),
            "points": points(facts.get("operating_points")),
            "figures": figures(facts.get("metrics")),
            "by_class": by_class(facts.get("metrics"), predictor.bundle.classes),
            "part": (facts.get("metrics") or {}).get("part", ""),
        }
        return page(request, "model.html", shown, who=who)

    return pages


def checks(gate: Facts | None) -> list[str]:
    """List the names of the input checks of a bundle."""
    known = (gate or {}).get("thresholds", {})
    return [gettext(CHECKS[name]) for name in (*MEASURED, PART) if name in known]


def figures(metrics: Facts | None) -> list[Figure]:
    """List the recorded overall metrics."""
    found = _recorded(metrics)
    return [_figure(FIGURES.get(name, name.replace("_", " ")), it) for name, it in found.items() if "/" not in name]


def by_class(metrics: Facts | None, classes: Sequence[str]) -> dict[str, list[Figure | None]]:
    """List the recorded metrics by class: kind to one figure per class, in the order of `classes`."""
    found = _recorded(metrics)
    kinds = dict.fromkeys(name.partition("/")[0] for name in found if "/" in name)
    return {
        KINDS.get(kind, kind): [_figure(of, it) if (it := found.get(f"{kind}/{of}")) else None for of in classes]
        for kind in sorted(kinds, key=lambda kind: list(KINDS).index(kind) if kind in KINDS else len(KINDS))
    }


def points(stored: Facts | None) -> list[Point]:
    """List the operating points by class, in the order rule-out, balanced, rule-in."""
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


def _recorded(metrics: Facts | None) -> dict[str, Facts]:
    return {name: it for name, it in (metrics or {}).items() if isinstance(it, Mapping) and "value" in it}


def _rank(point: str) -> int:
    return POINTS.index(point) if point in POINTS else len(POINTS)
