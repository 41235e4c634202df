"""Predictions of two networks in, what differs between them on the images that both scored, with intervals and tests.

Images are joined by name. Each bootstrap round draws the same patients for both networks, so that what an easy or a
hard patient adds to both cancels, and the interval is that of the difference.
"""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from covid_xray.data.manifest.manifest import Manifest
from covid_xray.data.split.groups import JOINING
from covid_xray.errors import InputRefused
from covid_xray.evaluation.metrics.intervals import ENOUGH, group_codes, resamples
from covid_xray.evaluation.metrics.metrics import Floats, prepare, weighted
from covid_xray.evaluation.metrics.paired_tests import delong, holm, mcnemar
from covid_xray.evaluation.metrics.subgroups import SMALLEST, patients
from covid_xray.evaluation.predictions import Predictions, read_predictions

FILE = "predictions.csv"


@dataclass(frozen=True, eq=False)
class Pair:
    """Two networks on the same images in the same order.

    Args:
        first, second: N rows each, image by image the same; classes in the same order.
        groups: N patients, or `None` where neither file names one.
        left_out: images that only the first, and only the second, has a score for.
    """

    first: Predictions
    second: Predictions
    groups: NDArray[np.str_] | None
    left_out: tuple[int, int]


def read_run(path: Path) -> Predictions:
    """The predictions of a run folder, or of a predictions.csv itself.

    Raises:
        InputRefused: no such file (code `no-predictions`).
        BadManifest: a file of another kind.
    """
    file = path / FILE if path.is_dir() else path
    if not file.is_file():
        raise InputRefused(
            f"expected {file}, which `covid-xray evaluate` writes. Received: no such file", code="no-predictions"
        )
    return read_predictions(file)


def pair(first: Predictions, second: Predictions) -> Pair:
    """Join two sets of predictions by image.

    Raises:
        InputRefused: other classes (code `other-classes`), an image with two labels (`other-labels`), or fewer than 20
            images that both scored (`too-few`).
    """
    if set(first.classes) != set(second.classes):
        raise InputRefused(
            f"expected predictions of the same classes. Received: {', '.join(first.classes)} "
            f"and {', '.join(second.classes)}",
            code="other-classes",
        )
    a, b = (predictions.table.set_index("image", drop=False) for predictions in (first, second))
    shared = [image for image in a.index if image in b.index]
    if len(shared) < SMALLEST:
        raise InputRefused(
            f"expected at least {SMALLEST} images that both scored. Received: {len(shared)}", code="too-few"
        )
    a, b = a.loc[shared].reset_index(drop=True), b.loc[shared].reset_index(drop=True)
    other = (a["label"] != b["label"]).to_numpy()
    if other.any():
        row = int(np.argmax(other))
        raise InputRefused(
            f"expected the same label for the same image. Received: {a['label'][row]} and {b['label'][row]} for "
            f"{a['image'][row]}; {int(other.sum())} images differ",
            code="other-labels",
        )
    one, two = replace(first, table=a), replace(second, table=b, classes=first.classes)
    apart = (len(first.table) - len(shared), len(second.table) - len(shared))
    return Pair(one, two, _patients(one, b), apart)


def compare(pair: Pair, *, rounds: int = 1000, seed: int = 0, level: float = 0.95) -> dict[str, Any]:
    """Everything that comparison.json holds; differences are second - first.

    Args:
        pair: of `pair`.
        rounds, seed: of the paired bootstrap.
        level: of all intervals, in 0..1.

    Returns:
        `images`, `patients` (or None), `left_out`, `classes`; `figures`: name to `first`, `second`, `difference`,
        `ci_low`, `ci_high` (None where over 5 % of the rounds leave it undefined); `delong`: class to the AUROCs, their
        difference, interval, `p` and `p_holm` (corrected for the number of classes); `mcnemar`; `settings`; `notes`.
    """
    codes = group_codes(pair.groups, count=len(pair.first.table))
    drawn = int(codes.max()) + 1
    return {
        "images": len(codes),
        "patients": None if pair.groups is None else drawn,
        "left_out": {"only_first": pair.left_out[0], "only_second": pair.left_out[1]},
        "classes": list(pair.first.classes),
        "figures": _differences(pair, codes, rounds=rounds, seed=seed, level=level),
        "delong": _delong(pair, level=level),
        "mcnemar": asdict(
            mcnemar(pair.first.predicted == pair.first.labels, pair.second.predicted == pair.first.labels)
        ),
        "settings": {"rounds": rounds, "seed": seed, "level": level},
        "notes": _notes(pair, drawn),
    }


def _patients(predictions: Predictions, other: pd.DataFrame) -> NDArray[np.str_] | None:
    """Patients as the first file names them, or as the second does where the first is silent."""
    table = predictions.table
    for column in JOINING:
        if column in other and (column not in table or (table[column] == "").all()):
            table = table.assign(**{column: other[column]})
    nothing = pd.DataFrame(columns=["image", "code", "reason"], dtype=str)
    return patients(predictions, Manifest(table, Path(), nothing))


def _differences(pair: Pair, codes: NDArray[np.int64], *, rounds: int, seed: int, level: float) -> dict[str, Any]:
    labels, classes = pair.first.labels, pair.first.classes
    first, second = (prepare(labels, p.probabilities, classes) for p in (pair.first, pair.second))
    everyone = np.ones((1, len(codes)))
    values, others = weighted(first, everyone), weighted(second, everyone)
    blocks = []
    for weights in resamples(codes, rounds=rounds, seed=seed):
        a, b = weighted(first, weights), weighted(second, weights)
        blocks.append({name: b[name] - a[name] for name in a})
    found = {}
    for name in values:
        one, two = float(values[name][0]), float(others[name][0])
        if np.isfinite(one) and np.isfinite(two):
            low, high = _ends(np.concatenate([block[name] for block in blocks]), level)
            found[name] = {"first": one, "second": two, "difference": two - one, "ci_low": low, "ci_high": high}
    return found


def _ends(drawn: Floats, level: float) -> tuple[float | None, float | None]:
    defined = drawn[np.isfinite(drawn)]
    if len(defined) < ENOUGH * len(drawn):
        return None, None
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _delong(pair: Pair, *, level: float) -> dict[str, Any]:
    found: dict[str, Any] = {}
    labels, a, b = pair.first.labels, pair.first.probabilities, pair.second.probabilities
    for code, name in enumerate(pair.first.classes):
        positive = labels == code
        if min(positive.sum(), (~positive).sum()) >= 2:
            found[name] = asdict(delong(positive, a[:, code], b[:, code], level=level))
    known = [name for name in found if found[name]["p"] is not None]
    for name, p in zip(known, holm([found[name]["p"] for name in known]), strict=True):
        found[name]["p_holm"] = p
    return found


def _notes(pair: Pair, drawn: int) -> list[str]:
    notes = []
    count = len(pair.first.table)
    if any(pair.left_out):
        notes.append(
            f"Images with a score of one network only count for neither: {pair.left_out[0]} and {pair.left_out[1]}."
        )
    if pair.groups is None:
        notes.append("No image names its patient: intervals are over images, and too narrow if patients have several.")
    elif drawn < count:
        notes.append(
            f"{count:,} images of {drawn:,} patients: DeLong and McNemar take images as independent, so their p-values "
            "are too small; go by the intervals, which draw patients."
        )
    return notes
