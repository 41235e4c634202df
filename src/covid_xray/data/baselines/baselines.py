"""Score extra-trees on file facts, the outer frame, and thumbnails with and without lungs, in grouped folds.

Only what a network scores above the best baseline without lungs can come from the lungs (Maguolo and Nanni, arXiv
2004.12823).
"""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from covid_xray import __version__
from covid_xray.data.baselines.grouped_scores import TREES, Score, cross_validate, scores
from covid_xray.data.baselines.lung_cover import Cover
from covid_xray.data.doctor.pixel_facts import SIDE, PixelFacts
from covid_xray.data.manifest.manifest import Manifest, fingerprint, require_classes
from covid_xray.data.manifest.tables import number_column
from covid_xray.data.split.groups import groups
from covid_xray.data.split.split import make_folds
from covid_xray.errors import BadManifest, BadSplit
from covid_xray.files import write_json

FRAME = 3  # outer pixels of the 32 on each side
Matrix = npt.NDArray[np.float64]
Labels = npt.NDArray[np.str_]


@dataclass(frozen=True)
class Baseline:
    """Scores of one model with 95 % intervals over patients.

    Args:
        name: stable slug.
        sees: the model's input, for people.
        without_lungs: whether its input excludes the lungs.
        scores: `accuracy`, `balanced_accuracy`, `macro_f1`, each a `Score`.
        chance: balanced accuracy of guessing, 1 / classes.
    """

    name: str
    sees: str
    without_lungs: bool
    scores: Mapping[str, Score]
    chance: float


@dataclass(frozen=True, eq=False)
class Baselines:
    """All baselines of one data set.

    Args:
        classes: the labels.
        images, people: counts (an image of an unknown patient counts as one person).
        folds: number of grouped folds.
        lungs: how the lungs were covered, in words.
        rows: the baselines for the classes.
        within: for a class, the baseline that predicts the source from the whole thumbnail.
        skipped: classes without such a baseline, with the reason.
        fingerprint: of the images and labels.
    """

    classes: tuple[str, ...]
    images: int
    people: int
    folds: int
    lungs: str
    rows: tuple[Baseline, ...]
    within: Mapping[str, Baseline]
    skipped: Mapping[str, str]
    fingerprint: str

    @property
    def best(self) -> Baseline:
        """The best baseline without lungs by macro-F1, which reports compare."""
        return max((row for row in self.rows if row.without_lungs), key=lambda row: row.scores["macro_f1"].value)


def run_baselines(
    manifest: Manifest,
    facts: PixelFacts,
    *,
    cover: Cover,
    folds: int = 5,
    seed: int = 0,
    trees: int = TREES,
    progress: Callable[[int, int], None] | None = None,
) -> Baselines:
    """Score every baseline in the same grouped, stratified folds; `progress` is called with (done, number).

    Args:
        manifest: read with `check=True`, with duplicate groups, so that copies are in one fold.
        facts, cover: pixel facts and lung cover of its images, in its order.
        folds, seed, trees: number of folds; seed of folds, trees and bootstrap; trees per model.

    Raises:
        BadManifest: fewer than two classes.
        BadSplit: a class has fewer patients than folds.
    """
    require_classes(manifest)
    people, label = groups(manifest), manifest.table["label"].to_numpy(dtype=str)
    fold = make_folds(manifest, folds=folds, seed=seed).to_numpy()
    views, sources = _views(manifest, facts, cover), _sources(manifest)
    done = itertools.count(1)

    def step() -> None:
        if progress:
            progress(next(done), len(views) + len(sources))

    rows = []
    for name, (sees, features, blind) in views.items():
        predicted = cross_validate(features, label, fold, seed=seed, trees=trees)
        rows.append(_baseline(name, sees, blind, label, predicted, people, seed=seed))
        step()
    within: dict[str, Baseline] = {}
    skipped: dict[str, str] = {}
    for name, chosen in sources.items():
        try:
            within[name] = _source_within(manifest, facts, chosen, folds=folds, seed=seed, trees=trees)
        except BadSplit as error:
            skipped[name] = error.message
        step()
    counts = (manifest.classes, len(label), int(people.nunique()), folds)
    return Baselines(*counts, cover.says, tuple(rows), within, skipped, fingerprint(manifest))


def write_baselines(baselines: Baselines, folder: Path) -> Path:
    """Write baselines.json, which `best_no_lung` reads, atomically; return its path."""
    path = folder / "baselines.json"
    write_json(path, as_json(baselines))
    return path


def as_json(baselines: Baselines) -> dict[str, Any]:
    """Convert to plain values, with the best baseline without lungs in `best_without_lungs`."""
    values = asdict(baselines) | {"classes": list(baselines.classes), "best_without_lungs": asdict(baselines.best)}
    return {"covid_xray": __version__, "format": 1, **values, "rows": [asdict(row) for row in baselines.rows]}


def best_no_lung(path: Path) -> dict[str, Any]:
    """Read name, sees and scores of the best baseline without lungs from baselines.json or its folder, for reports.

    Raises:
        BadManifest: no such file, or another kind of file.
    """
    import json

    file = path / "baselines.json" if path.is_dir() else path
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
        return dict(values["best_without_lungs"]) | {"images": values["images"], "fingerprint": values["fingerprint"]}
    except (OSError, ValueError, KeyError, TypeError):
        raise BadManifest(f"{file} is not a baselines.json. Make one by `covid-xray baselines`.") from None


def file_facts(manifest: Manifest, *, width: str, height: str, more: bool) -> Matrix:
    """Return width, height, aspect and, with `more`, bytes per pixel, mode and format as codes: N x 3 or N x 6."""
    table = manifest.table
    columns, rows = number_column(table, width), number_column(table, height)
    facts = [columns, rows, columns / rows]
    if more:
        facts += [number_column(table, "file_bytes") / (columns * rows)]
        facts += [table[name].astype("category").cat.codes for name in ("file_mode", "file_format")]
    return np.nan_to_num(np.stack([np.asarray(fact, dtype=np.float64) for fact in facts], axis=1), nan=-1.0)


def frame_only(thumbnails: npt.NDArray[np.uint8], *, width: int = FRAME) -> Matrix:
    """Return the outer `width` pixels of each 32 x 32 thumbnail: N x 448 for a width of 4."""
    inside = np.zeros((SIDE, SIDE), dtype=bool)
    inside[width:-width, width:-width] = True
    return thumbnails[:, ~inside].astype(np.float64)


def _views(manifest: Manifest, facts: PixelFacts, cover: Cover) -> dict[str, tuple[str, Matrix, bool]]:
    stored = file_facts(manifest, width="file_width", height="file_height", more=True)
    views = {"file-facts": ("width, height, aspect, bytes per pixel, mode and format of the file", stored, True)}
    if {"width", "height"} <= set(manifest.table.columns):
        original = file_facts(manifest, width="width", height="height", more=False)
        sees = "width, height and aspect of the original file (columns width, height)"
        views["original-size"] = (sees, original, True)
    frame = f"the outer {FRAME} of {SIDE} pixels on each side (they hold 6 % of the lung area of 178 masks)"
    views["frame"] = (frame, frame_only(facts.thumbnails), True)
    views["lungs-blacked-out"] = (f"the thumbnail without {cover.says}", cover.apply(facts.thumbnails), True)
    whole = facts.thumbnails.reshape(len(facts.thumbnails), -1).astype(np.float64)
    views["thumbnail"] = (f"the whole image at {SIDE} x {SIDE}", whole, False)
    return views


def _sources(manifest: Manifest) -> dict[str, npt.NDArray[np.int64]]:
    """Return the positions of the images of each class that has at least two sources."""
    if "source" not in manifest.table:
        return {}
    table = manifest.table.reset_index(drop=True)
    table = table[table["source"] != ""]
    return {str(label): rows.index.to_numpy() for label, rows in table.groupby("label") if rows["source"].nunique() > 1}


def _source_within(
    manifest: Manifest, facts: PixelFacts, chosen: npt.NDArray[np.int64], *, folds: int, seed: int, trees: int
) -> Baseline:
    """Predict the source within one class; sources with fewer people than folds are left out."""
    part = manifest.take(manifest.table["image"].to_numpy()[chosen].tolist())
    people = groups(part).groupby(part.table["source"].to_numpy()).nunique()
    enough = part.table["source"].map(people).to_numpy() >= folds
    if (people >= folds).sum() < 2:
        counts = ", ".join(f"{source} {count}" for source, count in people.items())
        raise BadSplit(f"Fewer than 2 sources with at least {folds} people each: {counts}.")
    part = part.take(enough)
    part = replace(part, table=part.table.assign(label=part.table["source"]))
    label = part.table["label"].to_numpy(dtype=str)
    fold = make_folds(part, folds=folds, seed=seed).to_numpy()
    features = facts.thumbnails[chosen[enough]].reshape(len(label), -1).astype(np.float64)
    predicted = cross_validate(features, label, fold, seed=seed, trees=trees)
    sees = f"the whole image at {SIDE} x {SIDE}; predicts the source out of {', '.join(part.classes)}"
    return _baseline("source", sees, False, label, predicted, groups(part), seed=seed)


def _baseline(
    name: str, sees: str, without_lungs: bool, label: Labels, predicted: Labels, people: pd.Series, *, seed: int
) -> Baseline:
    values = scores(label, predicted, people.to_numpy(), seed=seed)
    return Baseline(name, sees, without_lungs, values, 1 / len(np.unique(label)))
