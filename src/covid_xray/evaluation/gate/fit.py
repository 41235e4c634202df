"""Fit the input gate of a bundle from the training images of its run.

Thresholds come from images that the statistics have not seen: training images held out by fold and by source, and the
calibration images. The largest threshold of these sets is used. A source left out may be refused twice as often as the
rate asks, so that a new hospital counts but the unusual images of one source do not open the gate for everything.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from covid_xray.bundle.bundle import record
from covid_xray.data.manifest.manifest import Manifest
from covid_xray.errors import InputRefused
from covid_xray.evaluation.gate.random_crops import MOST as MOST_PIECES
from covid_xray.evaluation.gate.random_crops import crop_images
from covid_xray.evaluation.gate.sample import Array, Progress, Sample, evenly, measure_sample, whole_pictures
from covid_xray.evaluation.gate.statistics import fit_statistics
from covid_xray.inference import gate as gates
from covid_xray.inference.gate import PART, Gate, open_gate
from covid_xray.inference.predictor import Predictor

RATE = 0.05  # of good images that may be refused
LEAST = 100  # training images: below this a rate of a few per cent cannot be estimated
MOST = 2000  # training images that are looked at: more change no threshold in its second digit
FOLDS = 5
ELSEWHERE = (
    2.0  # times the rate may be refused of a source that the statistics do not know; docs/decisions/0007-gate.md
)
_USUAL = 0.95
_GRID = 40

Facts = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Values:
    """Measured values of N images: by check, with `distances` N x 2 of the embedding and `restored`."""

    checks: dict[str, Array]
    distances: Array
    restored: Array


def gate_of_run(
    predictor: Predictor,
    manifest: Manifest,
    split: pd.Series,
    *,
    part: str,
    rate: float = RATE,
    seed: int = 0,
    progress: Progress | None = None,
) -> Facts:
    """Fit the gate of a run's bundle.

    Args:
        predictor: of the run's bundle.
        manifest: holds the run's images.
        split: image to part; statistics are fitted on `train`.
        part: `val` or `calibration`: images the network was not trained on, for the thresholds.
        rate: share of good images that may be refused, by all checks together, 0..1.
        seed: of the folds, and of the choice of 2,000 training images, evenly over sources, where there are more.
        progress: called with (images done, images in all).

    Raises:
        InputRefused: too few training images, or none whose embedding is finite.
    """
    parts = manifest.table["image"].map(split).to_numpy()
    train = evenly(manifest, np.flatnonzero(parts == "train"), most=MOST, seed=seed)
    held = np.flatnonzero(parts == part)
    cut = train[:: -(-len(train) // MOST_PIECES) or 1]
    total = len(train) + len(held) + len(cut)
    of_train, of_held, of_cut = (manifest.take(_images(manifest, rows)) for rows in (train, held, cut))
    known = measure_sample(predictor, of_train, done=0, total=total, progress=progress)
    fresh = measure_sample(predictor, of_held, done=len(train), total=total, progress=progress)
    pieces = crop_images(predictor, of_cut, seed=seed, done=len(train) + len(held), total=total, progress=progress)
    return fit_gate(known, fresh, pieces, rate=rate, seed=seed)


def fit_gate(known: Sample, fresh: Sample, pieces: Sample | None = None, *, rate: float = RATE, seed: int = 0) -> Facts:
    """Return the content of `gate` in bundle.json.

    Args:
        known: training images.
        fresh: images that the network was not trained on; may be empty.
        pieces: crops of training images (`random_crops`); without them the gate has no check for crops.
        rate: share of good images that may be refused, 0..1.
        seed: of the folds.

    Raises:
        InputRefused: too few training images (code `gate-too-few`).
    """
    from threadpoolctl import threadpool_limits

    given = len(known)
    known, fresh, pieces = whole_pictures(known, fresh, pieces, least=LEAST)
    cut_out = given - len(known)
    if len(known) < LEAST:
        raise InputRefused(
            f"Too few training images for the gate: {len(known)}. Give at least {LEAST}.", code="gate-too-few"
        )
    with threadpool_limits(1):  # the matrices are small: more threads only get into each other's way
        facts = fit_statistics(known, pieces)
        sets = {"train, held out": values_held_out(known, pieces, seed=seed)}
        sets |= {"fresh": values_of(_gate(facts), fresh)} if len(fresh) else {}
        sources = values_left_out(known, pieces)
    usual = [np.quantile(one.distances, _USUAL, axis=0) for one in (*sets.values(), *sources.values())]
    facts["likeness"]["usual"] = [float(value) for value in np.maximum(np.max(usual, axis=0), 1e-9)]
    sets, sources = (_with_likeness(some, facts["likeness"]["usual"]) for some in (sets, sources))
    thresholds, tail = choose_thresholds([*sets.values()], [*sources.values()], rate=rate)
    share = {name: float(objections(one, thresholds).mean()) for name, one in (sets | sources).items()}
    return {
        "version": gates.VERSION,
        "rate": rate,
        "tail": tail,
        "images": {"train": len(known), "fresh": len(fresh), **({"cut out": cut_out} if cut_out else {})},
        "refused": {name: share.get(name) for name in ("train, held out", "fresh")},
        "refused_left_out": {name: share[name] for name in sources},
        **facts,
        "thresholds": thresholds,
    }


def values_held_out(known: Sample, pieces: Sample | None = None, *, seed: int = 0) -> Values:
    """Measure the training images, each with the statistics of the four folds it is not in."""
    names, members = np.unique(known.members, return_inverse=True)
    fold = np.random.default_rng(seed).permutation(len(names))[members] % FOLDS
    used = np.unique(fold)
    parts = [_unseen(known, pieces, fold == i) for i in used]
    back = np.argsort(np.concatenate([np.flatnonzero(fold == i) for i in used]))
    return Values(
        {name: np.concatenate([part.checks[name] for part in parts])[back] for name in parts[0].checks},
        np.concatenate([part.distances for part in parts])[back],
        np.concatenate([part.restored for part in parts])[back],
    )


def values_left_out(known: Sample, pieces: Sample | None = None) -> dict[str, Values]:
    """Measure each source's training images with the statistics of the other sources, as for a new hospital.

    Sources of fewer than 100 images, or with fewer than 100 others, are skipped.
    """
    if known.sources is None:
        return {}
    found = {}
    for source in np.unique(known.sources):
        inside = (known.sources == source) & (source != "")
        others = ~np.isin(known.members, known.members[inside])
        if min(inside.sum(), others.sum()) >= LEAST:
            found[f"source {source}"] = _unseen(known, pieces, inside)
    return found


def values_of(gate: Gate, sample: Sample) -> Values:
    """Return what the gate measures of each image."""
    lungs = [None] * len(sample) if sample.lungs is None else sample.lungs
    rows = zip(sample.looks, sample.embeddings, lungs, strict=True)
    found = [gate.evidence(seen, features, extents) for seen, features, extents in rows]
    names = [name for name in (*gates.MEASURED, PART) if name in found[0].values]
    return Values(
        {name: np.array([one.values[name] for one in found]) for name in names},
        gate.likeness.distances(sample.embeddings),
        np.array([one.restored for one in found]),
    )


def _unseen(known: Sample, pieces: Sample | None, inside: NDArray[np.bool_]) -> Values:
    """Measure the images `inside` with statistics that hold none of their patients and copies."""
    gone = known.members[inside]
    learnt = known.take(~np.isin(known.members, gone))
    cut = None if pieces is None else pieces.take(~np.isin(pieces.members, gone))
    return values_of(_gate(fit_statistics(learnt, cut)), known.take(inside))


def choose_thresholds(sets: Sequence[Values], elsewhere: Sequence[Values] = (), *, rate: float) -> tuple[Facts, float]:
    """Choose the thresholds, and the tail that each fitted check cuts off.

    The tail is the largest with which no set is refused above `rate`, and none of `elsewhere` (sources left out) above
    twice that. The plain checks (contrast, extremes, aspect) get thresholds far from any training image.
    """
    for tail in np.linspace(rate, 0, _GRID):
        thresholds = _at(sets, elsewhere, float(tail))
        shares = [objections(one, thresholds).mean() for one in sets]
        shares += [objections(one, thresholds).mean() / ELSEWHERE for one in elsewhere]
        if max(shares) <= rate:
            break
    return thresholds, float(tail)


def objections(values: Values, thresholds: Facts) -> NDArray[np.bool_]:
    """Return which of N images some check refuses, as `Gate.judge` does apart from DICOM tags."""
    checks = values.checks
    least, most = thresholds["aspect"]
    turned = [checks[name] > thresholds[name] for name in ("polarity", "orientation")]
    found = np.any(turned, axis=0) & (values.restored <= thresholds["layout"])
    for name in ("layout", "likeness", "extremes", *([PART] if PART in checks else [])):
        found = found | (checks[name] > thresholds[name])
    return (
        found | (checks["contrast"] < thresholds["contrast"]) | (checks["aspect"] < least) | (checks["aspect"] > most)
    )


def _at(sets: Sequence[Values], elsewhere: Sequence[Values], tail: float) -> Facts:
    both = [(one, tail) for one in sets] + [(one, min(1.0, ELSEWHERE * tail)) for one in elsewhere]

    def every(name: str) -> Array:
        return np.concatenate([one.checks[name] for one, _ in both])

    def beyond(name: str) -> float:
        return max(float(np.quantile(one.checks[name], 1 - share, method="higher")) for one, share in both)

    return {
        "contrast": _round(every("contrast").min() / 2),
        "extremes": _round(max(0.9, (1 + every("extremes").max()) / 2)),
        "aspect": [_round(every("aspect").min() / 1.25), _round(every("aspect").max() * 1.25)],
        **{name: _round(max(0.0, beyond(name))) for name in ("polarity", "orientation")},
        **{name: _round(beyond(name)) for name in ("layout", "likeness")},
        **({PART: _round(beyond(PART))} if all(PART in one.checks for one, _ in both) else {}),
    }


def _round(value: float) -> float:
    """Round up in the fifth digit, so that the image it comes from passes."""
    return float(f"{value + 0.00005 * abs(value):.5g}")


def _gate(facts: Facts) -> Gate:
    """Return a gate of statistics without thresholds."""
    nothing = dict.fromkeys((*gates.MEASURED, PART), 0.0)
    gate = open_gate({"version": gates.VERSION, **facts, "thresholds": nothing})
    assert gate is not None  # facts are never empty here
    return gate


def _with_likeness(sets: dict[str, Values], usual: Sequence[float]) -> dict[str, Values]:
    return {
        name: dataclasses.replace(one, checks={**one.checks, "likeness": (one.distances / usual).max(axis=1)})
        for name, one in sets.items()
    }


def _images(manifest: Manifest, rows: NDArray[np.intp]) -> list[str]:
    return [str(image) for image in manifest.table["image"].to_numpy()[rows]]


def store_gate(
    folder: Path,
    manifest: Manifest,
    split: pd.Series,
    *,
    part: str,
    rate: float = RATE,
    progress: Progress | None = None,
) -> Facts:
    """Fit the gate and record it in the bundle in `folder`; arguments as for `gate_of_run`.

    Returns:
        `rate`, `images` and `refused`; or `note` where there are too few images and the bundle stays unchanged.
    """
    try:
        facts = gate_of_run(Predictor(folder), manifest, split, part=part, rate=rate, progress=progress)
    except InputRefused as error:
        if error.code != "gate-too-few":
            raise
        return {"note": f"no gate was stored: {error.message}"}
    record(folder, gate=facts)
    return {name: facts[name] for name in ("rate", "images", "refused")}


def describe_gate(facts: Facts) -> str:
    """Describe the stored gate in one sentence."""
    if "note" in facts:
        return str(facts["note"])
    shares = [f"{share:.1%} ({name})" for name, share in facts["refused"].items() if share is not None]
    left = facts["images"].get("cut out")
    without = f", without {left:,} that are mostly one grey" if left else ""
    return (
        f"gate from {facts['images']['train']:,} training images{without}: refuses {' and '.join(shares)} of good "
        f"images, at most {facts['rate']:.1%} asked for"
    )
