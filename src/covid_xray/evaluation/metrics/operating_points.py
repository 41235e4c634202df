"""Choose decision thresholds of a class on calibration images and measure them on test images.

An image is called positive at or above the threshold on the calibrated probability. Rule-out guarantees sensitivity,
rule-in specificity, balanced maximises their sum (Youden 1950).
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from covid_xray.bundle.contents import Figure, OperatingPoints, Point
from covid_xray.errors import UsageError
from covid_xray.evaluation.metrics.intervals import proportions
from covid_xray.evaluation.metrics.metrics import Floats
from covid_xray.evaluation.metrics.subgroups import NOT_STATED, SMALLEST
from covid_xray.evaluation.predictions import Predictions, probability_columns
from covid_xray.inference.thresholds import POINTS

TARGET = 0.95
DEFAULT = "covid"
KEPT = {"rule-out": "sensitivity", "rule-in": "specificity"}  # what must reach the target
CHOSEN = ("sensitivity", "specificity")  # rates that are stored with a point
Masks = NDArray[np.bool_]
Facts = dict[str, Any]


@dataclass(frozen=True, eq=False)
class OneVsRest:
    """The images of one class against the rest."""

    scores: Floats  # N calibrated probabilities of the class
    positive: Masks  # N, whether the image has the class
    sources: NDArray[np.object_] | None = None  # N names, or `None`
    groups: NDArray[Any] | None = None  # N patients, or `None`


def positive_classes(classes: Sequence[str], wish: Sequence[str] | None = None) -> tuple[str, ...]:
    """Return the classes to choose operating points for: `wish`, else covid if known. Raises `UsageError`."""
    unknown = [name for name in wish or () if name not in classes]
    if unknown:
        raise UsageError(f"Unknown class: {unknown[0]}. Give --positive with one of {', '.join(classes)}.")
    return tuple(dict.fromkeys(wish or ([DEFAULT] if DEFAULT in classes else [])))


def one_vs_rest(
    predictions: Predictions, positive: str, *, groups: NDArray[Any] | None = None, sources: Sequence[str] | None = None
) -> OneVsRest:
    """Return the predictions as one class against the rest."""
    scores = predictions.table[probability_columns([positive])[0]].to_numpy(dtype=np.float64)
    names = None if sources is None else np.array([source or NOT_STATED for source in sources], dtype=object)
    return OneVsRest(scores, (predictions.table["label"] == positive).to_numpy(dtype=bool), names, groups)


def thresholds(scores: ArrayLike) -> Floats:
    """Return every threshold that separates the scores, rising: the midpoints of neighbouring scores.

    Midpoints, so that the last bit of a float, which may vary with the batch, moves no image across.
    """
    distinct = np.unique(np.asarray(scores, dtype=np.float64))
    lower, upper = distinct[:-1], distinct[1:]
    middle = lower + (upper - lower) / 2
    return np.where(middle > lower, middle, upper)


def choose_point(about: OneVsRest, name: str, *, target: float = TARGET) -> Facts:
    """Choose one operating point on calibration images.

    Rule-out and rule-in must reach the target on all images and on every source with at least 20 images of the relevant
    side. Balanced has no target and uses all images.

    Args:
        about: calibration images.
        name: one of `inference.thresholds.POINTS`.
        target: sensitivity of rule-out, specificity of rule-in.

    Returns:
        `threshold` (`None` where no useful one reaches the target; see `reason`), `target`, `basis` (`all images` or
        `every source`), `all_images` (the point without the demand on sources) and `sources` (`images` and `value`).
    """
    kept, cuts, everything = KEPT.get(name), thresholds(about.scores), np.ones(len(about.scores), dtype=bool)
    curve = {side: _rate(about, side, cuts, everything) for side in ("sensitivity", "specificity")}
    enough = _enough(about, kept)
    by_source = {source: _rate(about, kept or "", cuts, mask) for source, mask in enough.items()}
    allowed = np.ones(len(cuts), dtype=bool) if kept is None else _reaches(curve[kept], target)
    whole = _best(name, curve, allowed)
    best = _best(name, curve, np.logical_and.reduce([allowed, *(_reaches(r, target) for r in by_source.values())]))
    return {
        "threshold": None if best is None else float(cuts[best]),
        "target": {"youden": "highest"} if kept is None else {kept: target},
        "basis": "every source" if enough else "all images",
        "reason": "" if best is not None else _reason(name, target, everywhere=whole is not None),
        "all_images": None if whole is None else {"threshold": float(cuts[whole]), **_at(curve, whole)},
        "sources": {
            source: {"images": int((_base(about, kept or "") & mask).sum()),
                     "value": None if best is None else float(by_source[source][best])}
            for source, mask in enough.items()
        },
    }  # fmt: skip


def achieved_rates(
    about: OneVsRest, threshold: float, *, where: Masks | None = None, rounds: int = 1000, seed: int = 0
) -> dict[str, Facts]:
    """Return sensitivity, specificity, ppv and npv of a threshold with intervals; a proportion of nothing is left out.

    Args:
        about: images; for a test, not those that the threshold was chosen on.
        threshold: called positive at or above it.
        where: mask (N) of the images to use; `None` for all.
        rounds, seed: of the bootstrap.
    """
    inside = np.ones(len(about.scores), dtype=bool) if where is None else where
    called = about.scores >= threshold
    parts = {
        "sensitivity": (called, about.positive),
        "specificity": (~called, ~about.positive),
        "ppv": (about.positive, called),
        "npv": (~about.positive, ~called),
    }
    chosen = {name: (hit[inside], of[inside]) for name, (hit, of) in parts.items()}
    groups = None if about.groups is None else about.groups[inside]
    if not inside.any():
        return {}
    return {k: i.as_dict() for k, i in proportions(chosen, groups=groups, rounds=rounds, seed=seed).items()}


def fit_operating_points(
    about: OneVsRest, *, sha256: str, temperature: float, part: str, rounds: int = 1000, seed: int = 0
) -> OperatingPoints:
    """Choose the operating points of one class; return what the bundle stores under `operating_points`.

    The sensitivity and specificity stored are those of the calibration images and so slightly optimistic.

    Args:
        about: calibrated predictions of calibration or validation images.
        sha256: of the network.
        temperature: of the probabilities.
        part: name of the images' part.
        rounds, seed: of the bootstrap.
    """
    count, n = len(about.scores), int(about.positive.sum())
    points = {}
    for name in POINTS:
        chosen = choose_point(about, name) if min(n, count - n) >= SMALLEST else _too_few(name, n, count - n)
        found = chosen["threshold"]
        rates = {} if found is None else achieved_rates(about, found, rounds=rounds, seed=seed)
        points[name] = Point(**(chosen | {side: Figure(**rates[side]) for side in CHOSEN if side in rates}))
    patients = None if about.groups is None else len(set(about.groups))
    counts = {"images": count, "positives": n, "negatives": count - n, "patients": patients}
    return OperatingPoints(sha256, points, temperature=temperature, part=part, **counts)  # type: ignore[arg-type]


def measure_points(about: OneVsRest, stored: OperatingPoints, *, rounds: int = 1000, seed: int = 0) -> Facts:
    """Measure the stored operating points of one class on test images; return `schema.OperatingPoints`.

    Args:
        about: calibrated predictions of test images.
        stored: what `operating_points` returned.
        rounds, seed: of the bootstrap.
    """
    count, n = len(about.scores), int(about.positive.sum())
    points: Facts = {}
    for name, point in stored.points.items():
        cut, rates = point.threshold, {side: getattr(point, side) for side in CHOSEN}
        result: Facts = {key: getattr(point, key) for key in ("threshold", "target", "reason")}
        result["chosen"] = {side: rate and asdict(rate) for side, rate in rates.items()}
        if cut is not None:
            result |= {
                "called": int((about.scores >= cut).sum()),
                **achieved_rates(about, cut, rounds=rounds, seed=seed),
            }
            result["by_source"] = _by_source(about, cut, rounds=rounds, seed=seed)
        points[name] = result
    chosen_on = {key: getattr(stored, key) for key in ("part", "images", "positives", "negatives")}
    return {"images": count, "positives": n, "negatives": count - n, "chosen_on": chosen_on, "points": points}


def _by_source(about: OneVsRest, cut: float, *, rounds: int, seed: int) -> Facts:
    table: Facts = {}
    for source in sorted(set(about.sources if about.sources is not None else [])):
        mask = about.sources == source
        sides = {"sensitivity": int((mask & about.positive).sum()), "specificity": int((mask & ~about.positive).sum())}
        found = achieved_rates(about, cut, where=mask, rounds=rounds, seed=seed)
        shown = {side: found[side] for side, images in sides.items() if images >= SMALLEST}
        table[str(source)] = {"positives": sides["sensitivity"], "negatives": sides["specificity"], **shown}
    return table


def _base(about: OneVsRest, kept: str) -> Masks:
    """Return the mask of the images that a sensitivity or specificity is a proportion of."""
    return about.positive if kept == "sensitivity" else ~about.positive


def _rate(about: OneVsRest, kept: str, cuts: Floats, mask: Masks) -> Floats:
    """Return sensitivity or specificity at each of the rising thresholds."""
    scores = np.sort(about.scores[_base(about, kept) & mask])
    below = np.searchsorted(scores, cuts, side="left")
    return (len(scores) - below if kept == "sensitivity" else below) / max(1, len(scores))


def _reaches(rate: Floats, target: float) -> Masks:
    return rate >= target - 1e-12  # 19 of 20 are 0.95, whatever the last bit says


def _enough(about: OneVsRest, kept: str | None) -> dict[str, Masks]:
    """Return the mask of each source with enough images of the side that the target is about."""
    if about.sources is None or kept is None:
        return {}
    masks = {str(source): about.sources == source for source in sorted(set(about.sources))}
    return {source: mask for source, mask in masks.items() if (_base(about, kept) & mask).sum() >= SMALLEST}


def _best(name: str, curve: Mapping[str, Floats], allowed: Masks) -> int | None:
    """Return the position of the best threshold; ties go to the side that the point is named for."""
    sensitivity, specificity = curve["sensitivity"], curve["specificity"]
    gain = {"rule-out": specificity, "rule-in": sensitivity}.get(name, sensitivity + specificity - 1)
    gain = np.where(allowed, gain, 0.0)
    if not len(gain) or gain.max() <= 1e-12:
        return None
    best = np.flatnonzero(gain >= gain.max() - 1e-12)
    return int(best[-1] if name == "rule-in" else best[0])


def _at(curve: Mapping[str, Floats], place: int) -> dict[str, float]:
    return {side: float(values[place]) for side, values in curve.items()}


def _reason(name: str, target: float, *, everywhere: bool) -> str:
    if name not in KEPT:
        return "no threshold is better than chance"
    images = "every image" if name == "rule-out" else "no image"
    where = " on every source (all images together reach it)" if everywhere else ""
    return f"a {KEPT[name]} of {target:g}{where} is reached only by calling {images} positive"


def _too_few(name: str, n: int, rest: int) -> Facts:
    kept = KEPT.get(name)
    return {
        "threshold": None,
        "target": {"youden": "highest"} if kept is None else {kept: TARGET},
        "basis": "all images",
        "reason": f"{n} images of the class and {rest} of the rest are too few; it takes {SMALLEST} of each",
        "all_images": None,
        "sources": {},
    }
