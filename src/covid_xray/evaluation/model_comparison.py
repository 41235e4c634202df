"""Compare two networks on the images that both scored, with paired intervals and tests.

Images are joined by name. Each bootstrap round draws the same patients for both networks, so that the difficulty of a
patient cancels.
"""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from covid_xray.bundle.trained import PARTS, read_trained
from covid_xray.data.manifest.manifest import Manifest
from covid_xray.data.split.groups import JOINING
from covid_xray.errors import InputRefused
from covid_xray.evaluation.metrics.guessing import guessing_of
from covid_xray.evaluation.metrics.intervals import MIN_DEFINED, group_codes, resample_weights
from covid_xray.evaluation.metrics.metrics import Floats, prepare, weighted
from covid_xray.evaluation.metrics.paired_tests import delong, holm, mcnemar
from covid_xray.evaluation.metrics.subgroups import SMALLEST, patient_groups
from covid_xray.evaluation.predictions import Predictions, read_predictions
from covid_xray.evaluation.trained_images import BY_NAME, COLUMN, contents_of, leave_out_trained, look_up

FILE = "predictions.csv"


@dataclass(frozen=True, eq=False)
class Pair:
    """Predictions of two networks for the same images in the same order."""

    first: Predictions  # N rows each, image by image the same; classes in the same order
    second: Predictions
    groups: NDArray[np.str_] | None  # N patients, or `None` where neither file names one
    left_out: tuple[int, int]  # images that only the first, and only the second, has a score for


def read_run(path: Path) -> Predictions:
    """Read the predictions of a run folder, or a predictions.csv itself.

    Raises:
        InputRefused: no such file (code `no-predictions`).
        BadManifest: a file of another kind.
    """
    file = path / FILE if path.is_dir() else path
    if not file.is_file():
        raise InputRefused(f"No such file: {file}. covid-xray evaluate writes it.", code="no-predictions")
    return read_predictions(file)


def read_unseen(path: Path, *, with_trained: bool = False) -> tuple[Predictions, dict[str, Any]]:
    """Read the predictions of a run without those of images that its network was made from.

    They are recognised by the bundle of the run, and by the mark that `evaluate --with-trained` left.

    Returns:
        The predictions, and the facts of `trained_images.leave_out_trained`.

    Raises:
        InputRefused: as `read_run`, or no image is left (code `all-trained`).
    """
    predictions = read_run(path)
    table = predictions.table
    bundle = path / "bundle"
    found = look_up(read_trained(bundle) if bundle.is_dir() else None, contents_of(table))
    marked = table[COLUMN] if COLUMN in table else [""] * len(table)
    part = tuple(one or other for one, other in zip(found.part, marked, strict=True))
    how = tuple(one or (BY_NAME if other else "") for one, other in zip(found.how, part, strict=True))
    nothing = pd.DataFrame(columns=["image", "code", "reason"], dtype=str)
    kept, facts = leave_out_trained(
        Manifest(table, path, nothing), replace(found, part=part, how=how), keep=PARTS if with_trained else ()
    )
    return replace(predictions, table=kept.table), facts


def pair(first: Predictions, second: Predictions) -> Pair:
    """Join two sets of predictions by image.

    Raises:
        InputRefused: other classes (code `other-classes`), an image with two labels (`other-labels`), or fewer than 20
            images that both scored (`too-few`).
    """
    if set(first.classes) != set(second.classes):
        raise InputRefused(
            f"The networks have other classes: {', '.join(first.classes)} and {', '.join(second.classes)}.",
            code="other-classes",
        )
    a, b = (predictions.table.set_index("image", drop=False) for predictions in (first, second))
    shared = [image for image in a.index if image in b.index]
    if len(shared) < SMALLEST:
        raise InputRefused(f"Only {len(shared)} images were scored by both; it takes {SMALLEST}.", code="too-few")
    a, b = a.loc[shared].reset_index(drop=True), b.loc[shared].reset_index(drop=True)
    other = (a["label"] != b["label"]).to_numpy()
    if other.any():
        row = int(np.argmax(other))
        raise InputRefused(
            f"Different labels for one image: {a['label'][row]} and {b['label'][row]} for {a['image'][row]}; "
            f"{int(other.sum())} images differ.",
            code="other-labels",
        )
    one, two = replace(first, table=a), replace(second, table=b, classes=first.classes)
    apart = (len(first.table) - len(shared), len(second.table) - len(shared))
    return Pair(one, two, _patients(one, b), apart)


def compare(pair: Pair, *, rounds: int = 1000, seed: int = 0, level: float = 0.95) -> dict[str, Any]:
    """Return the content of comparison.json; differences are second - first.

    Args:
        pair: of `pair`.
        rounds, seed: of the paired bootstrap.
        level: of all intervals, in 0..1.

    Returns:
        Counts, `figures` (paired differences with intervals), `delong` (class to AUROCs, difference, interval, `p` and
        `p_holm`, corrected for the number of classes), `mcnemar`, `guessing` (of each network), `settings` and `notes`.
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
        "guessing": [
            guessing_of(list(p.table["label"]), p.predicted == p.labels, groups=pair.groups)
            for p in (pair.first, pair.second)
        ],
        "settings": {"rounds": rounds, "seed": seed, "level": level},
        "notes": _notes(pair, drawn),
    }


def _patients(predictions: Predictions, other: pd.DataFrame) -> NDArray[np.str_] | None:
    """Return the patients that the first file names, or the second where the first names none."""
    table = predictions.table
    for column in JOINING:
        if column in other and (column not in table or (table[column] == "").all()):
            table = table.assign(**{column: other[column]})
    nothing = pd.DataFrame(columns=["image", "code", "reason"], dtype=str)
    return patient_groups(predictions, Manifest(table, Path(), nothing))


def _differences(pair: Pair, codes: NDArray[np.int64], *, rounds: int, seed: int, level: float) -> dict[str, Any]:
    labels, classes = pair.first.labels, pair.first.classes
    first, second = (prepare(labels, p.probabilities, classes) for p in (pair.first, pair.second))
    everyone = np.ones((1, len(codes)))
    values, others = weighted(first, everyone), weighted(second, everyone)
    blocks = []
    for weights in resample_weights(codes, rounds=rounds, seed=seed):
        a, b = weighted(first, weights), weighted(second, weights)
        blocks.append({name: b[name] - a[name] for name in a})
    found = {}
    for name in values:
        one, two = float(values[name][0]), float(others[name][0])
        if np.isfinite(one) and np.isfinite(two):
            low, high = _ends(np.concatenate([block[name] for block in blocks]), level)
            found[name] = {
                "first": one, "second": two, "difference": two - one, "ci_low": low, "ci_high": high,
                "n": len(np.unique(codes)),
            }  # fmt: skip
    return found


def _ends(drawn: Floats, level: float) -> tuple[float | None, float | None]:
    defined = drawn[np.isfinite(drawn)]
    if len(defined) < MIN_DEFINED * len(drawn):
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
