"""Calibrated predictions in: from calibration images the thresholds of a class, from test images what they achieve.

A point is a threshold on the calibrated probability of one class against the rest: called positive at or above it.
Rule-out keeps the sensitivity, rule-in the specificity, balanced has the highest sum of both (Youden 1950).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from covid_xray.errors import UsageError
from covid_xray.evaluation.metrics.intervals import proportions
from covid_xray.evaluation.metrics.metrics import Floats
from covid_xray.evaluation.metrics.subgroups import NOT_STATED, SMALLEST
from covid_xray.evaluation.predictions import Predictions, probability_columns
from covid_xray.inference.thresholds import POINTS

TARGET = 0.95
DEFAULT = "covid"
KEPT = {"rule-out": "sensitivity", "rule-in": "specificity"}  # what must reach the target
Masks = NDArray[np.bool_]
Facts = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Side:
    """The images of one class against the rest.

    Args:
        scores: N calibrated probabilities of the class.
        positive: N, whether the image is of the class.
        sources: N names, or `None`.
        groups: N patients, or `None`.
    """

    scores: Floats
    positive: Masks
    sources: NDArray[np.object_] | None = None
    groups: NDArray[Any] | None = None


def positives(classes: Sequence[str], wish: Sequence[str] | None = None) -> tuple[str, ...]:
    """The classes to choose points for: those wished for, else covid where there is one. Raises `UsageError`."""
    unknown = [name for name in wish or () if name not in classes]
    if unknown:
        raise UsageError(f"expected --positive with a class of {', '.join(classes)}. Received: {unknown[0]}")
    return tuple(dict.fromkeys(wish or ([DEFAULT] if DEFAULT in classes else [])))


def side(
    predictions: Predictions, positive: str, *, groups: NDArray[Any] | None = None, sources: Sequence[str] | None = None
) -> Side:
    """The predictions as one class against the rest."""
    scores = predictions.table[probability_columns([positive])[0]].to_numpy(dtype=np.float64)
    names = None if sources is None else np.array([source or NOT_STATED for source in sources], dtype=object)
    return Side(scores, (predictions.table["label"] == positive).to_numpy(dtype=bool), names, groups)


def thresholds(scores: ArrayLike) -> Floats:
    """Every threshold that calls some images positive and not all, rising: halfway between neighbouring scores.

    Halfway, so that the last bit of a float, which may depend on the batch an image came in, moves no image across.
    """
    distinct = np.unique(np.asarray(scores, dtype=np.float64))
    lower, upper = distinct[:-1], distinct[1:]
    middle = lower + (upper - lower) / 2
    return np.where(middle > lower, middle, upper)


def choose(about: Side, name: str, *, target: float = TARGET) -> Facts:
    """One operating point on calibration images.

    Where there are sources, rule-out and rule-in must reach the target on every source with 20 images or more of the
    side that the target is about, as well as on all images together; `all_images` tells the threshold without that
    demand. What is stored is thus the stricter of the two. Balanced has no target and looks at all images.

    Args:
        about: calibration images.
        name: of `inference.thresholds.POINTS`.
        target: sensitivity of rule-out, specificity of rule-in.

    Returns:
        `threshold` (`None` where the target is reached only by calling all images or none positive, as `reason` says),
        `target`, `basis` (`all images` or `every source`), `all_images` (threshold, sensitivity, specificity, or
        `None`), and `sources`: name to `images` and the `value` reached there, for those with enough images.
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


def reached(
    about: Side, threshold: float, *, where: Masks | None = None, rounds: int = 1000, seed: int = 0
) -> dict[str, Facts]:
    """Sensitivity, specificity, ppv and npv of a threshold, with intervals over patients; one of nothing is absent.

    Args:
        about: images; for figures that are a test, others than those the threshold was chosen on.
        threshold: called positive at or above it.
        where: N, the images that count; `None` for all.
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


def operating_points(
    about: Side, *, sha256: str, temperature: float, part: str, rounds: int = 1000, seed: int = 0
) -> Facts:
    """What the bundle holds for one class under `operating_points`.

    Args:
        about: calibrated predictions of calibration or validation images.
        sha256: of the network.
        temperature: that the probabilities hold.
        part: the name of the images' part.
        rounds, seed: of the bootstrap.

    Returns:
        `sha256`, `temperature`, `part`, `images`, `positives`, `negatives`, `patients` (or `None`) and `points`: name
        to what `choose` gives, with the `sensitivity` and `specificity` reached on these images. The points were
        chosen on them, so that the figures are a little too good; `covid-xray evaluate` gives those of test images.
    """
    count, n = len(about.scores), int(about.positive.sum())
    points: Facts = {}
    for name in POINTS:
        points[name] = choose(about, name) if min(n, count - n) >= SMALLEST else _too_few(name, n, count - n)
        found = points[name]["threshold"]
        facts = {} if found is None else reached(about, found, rounds=rounds, seed=seed)
        points[name] |= {side: facts.get(side) for side in ("sensitivity", "specificity")}
    patients = None if about.groups is None else len(set(about.groups))
    counts = {"images": count, "positives": n, "negatives": count - n, "patients": patients}
    return {"sha256": sha256, "temperature": temperature, "part": part, **counts, "points": points}


def points_on_test(about: Side, stored: Mapping[str, Any], *, rounds: int = 1000, seed: int = 0) -> Facts:
    """What the points of one class achieve on test images.

    Args:
        about: calibrated predictions of test images.
        stored: `operating_points` gave it.
        rounds, seed: of the bootstrap.

    Returns:
        `images`, `positives`, `negatives`, `chosen_on` (part and images) and `points`: name to `threshold`, `target`,
        `reason`, `called` (images at or above the threshold), `sensitivity`, `specificity`, `ppv`, `npv` (the last two
        at the share of positives tested), `chosen` (what was reached where it was chosen), and `by_source`:
        name to `positives`, `negatives`, and the two sides where 20 images or more stand behind them.
    """
    count, n = len(about.scores), int(about.positive.sum())
    points: Facts = {}
    for name, facts in stored["points"].items():
        cut = facts["threshold"]
        told = {key: facts[key] for key in ("threshold", "target", "reason")}
        told["chosen"] = {side: facts[side] for side in ("sensitivity", "specificity")}
        if cut is not None:
            told |= {"called": int((about.scores >= cut).sum()), **reached(about, cut, rounds=rounds, seed=seed)}
            told["by_source"] = _by_source(about, cut, rounds=rounds, seed=seed)
        points[name] = told
    chosen_on = {key: stored[key] for key in ("part", "images", "positives", "negatives")}
    return {"images": count, "positives": n, "negatives": count - n, "chosen_on": chosen_on, "points": points}


def _by_source(about: Side, cut: float, *, rounds: int, seed: int) -> Facts:
    table: Facts = {}
    for source in sorted(set(about.sources if about.sources is not None else [])):
        mask = about.sources == source
        sides = {"sensitivity": int((mask & about.positive).sum()), "specificity": int((mask & ~about.positive).sum())}
        found = reached(about, cut, where=mask, rounds=rounds, seed=seed)
        shown = {side: found[side] for side, images in sides.items() if images >= SMALLEST}
        table[str(source)] = {"positives": sides["sensitivity"], "negatives": sides["specificity"], **shown}
    return table


def _base(about: Side, kept: str) -> Masks:
    """The images that a sensitivity or specificity is a share of."""
    return about.positive if kept == "sensitivity" else ~about.positive


def _rate(about: Side, kept: str, cuts: Floats, mask: Masks) -> Floats:
    """Sensitivity or specificity at each of the rising thresholds."""
    scores = np.sort(about.scores[_base(about, kept) & mask])
    below = np.searchsorted(scores, cuts, side="left")
    return (len(scores) - below if kept == "sensitivity" else below) / max(1, len(scores))


def _reaches(rate: Floats, target: float) -> Masks:
    return rate >= target - 1e-12  # 19 of 20 are 0.95, whatever the last bit says


def _enough(about: Side, kept: str | None) -> dict[str, Masks]:
    """The sources with enough images of the side that the target is about, and which images are theirs."""
    if about.sources is None or kept is None:
        return {}
    masks = {str(source): about.sources == source for source in sorted(set(about.sources))}
    return {source: mask for source, mask in masks.items() if (_base(about, kept) & mask).sum() >= SMALLEST}


def _best(name: str, curve: Mapping[str, Floats], allowed: Masks) -> int | None:
    """Position of the best threshold; of equal ones the one that is better on the side which the point is named for."""
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
        "reason": f"expected at least {SMALLEST} images of the class and of the rest. Received: {n} and {rest}",
        "all_images": None,
        "sources": {},
    }
