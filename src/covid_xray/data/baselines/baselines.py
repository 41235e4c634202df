"""How well are the classes told without the lungs? Images in, scores of plain models on what is not lung out.

Grouped folds, extra-trees; file facts, outer frame, lungs blacked out; the whole thumbnail beside them. Only what a
network scores above the best of the first three can come from the lungs (Maguolo and Nanni, arXiv 2004.12823).
"""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from covid_xray import __version__
from covid_xray.data.baselines.grouped_scores import TREES, Score, cross_validated, scores
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


@dataclass(frozen=True)
class Baseline:
    """One row of the table: what the model saw, and its scores with 95 % intervals over patients.

    Args:
        name: stable slug.
        sees: what it saw, for people.
        without_lungs: whether the lungs were out of its sight.
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
    """All baselines of one data set; `within` has the source told within each class.

    Args:
        classes: the labels.
        images, people: how many (an image of an unknown patient counts as one person).
        folds: number of grouped folds.
        lungs: how the lungs were covered, in a sentence.
        rows: the baselines for the classes.
        within: for a class, the baseline that names the source from the whole thumbnail.
        skipped: classes whose source could not be asked, with the reason.
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
        """The best of the baselines that see no lung, by macro-F1, which reports compare."""
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
    """Score every baseline in the same grouped, stratified folds; `progress` is called with (done, all).

    Args:
        manifest: read with `check=True`; give it duplicate groups, or copies sit on both sides.
        facts, cover: measured on it, in its order; what was blacked out to hide the lungs.
        folds, seed, trees: number of folds; seed of folds, trees and bootstrap; trees in each model.

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

    def scored(name: str, view: tuple[str, Any, bool]) -> Baseline:
        sees, features, blind = view
        told = cross_validated(features, label, fold, seed=seed, trees=trees)
        step()
        return Baseline(name, sees, blind, scores(label, told, people.to_numpy(), seed=seed), 1 / len(manifest.classes))

    rows = tuple(scored(name, view) for name, view in views.items())
    within, skipped = _sources_within(manifest, facts, sources, step, folds=folds, seed=seed, trees=trees)
    return Baselines(
        classes=manifest.classes,
        images=len(label),
        people=int(people.nunique()),
        folds=folds,
        lungs=cover.says,
        rows=rows,
        within=within,
        skipped=skipped,
        fingerprint=fingerprint(manifest),
    )


def _sources_within(
    manifest: Manifest, facts: PixelFacts, sources: Mapping[str, Any], step: Callable[[], None], **settings: int
) -> tuple[dict[str, Baseline], dict[str, str]]:
    """How well the source is told inside each class, and the classes where that cannot be asked, with the reason."""
    within: dict[str, Baseline] = {}
    skipped: dict[str, str] = {}
    for name, chosen in sources.items():
        try:
            within[name] = _source_within(manifest, facts, chosen, **settings)
        except BadSplit as error:
            skipped[name] = error.message
        step()
    return within, skipped


def write_baselines(baselines: Baselines, folder: Path) -> Path:
    """Write baselines.json (what `best_no_lung` reads), atomically; its path."""
    path = folder / "baselines.json"
    write_json(path, as_json(baselines))
    return path


def as_json(baselines: Baselines) -> dict[str, Any]:
    """Plain values, every score with ci_low, ci_high and n, and the best baseline without lungs by itself."""
    values = asdict(baselines) | {"classes": list(baselines.classes), "best_without_lungs": asdict(baselines.best)}
    return {"covid_xray": __version__, "format": 1, **values, "rows": [asdict(row) for row in baselines.rows]}


def best_no_lung(path: Path) -> dict[str, Any]:
    """What a report prints beside its score: name, sees, scores of the best baseline without lungs.

    Args:
        path: baselines.json, or the folder that holds it.

    Raises:
        BadManifest: no such file, or another kind of file.
    """
    import json

    file = path / "baselines.json" if path.is_dir() else path
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
        return dict(values["best_without_lungs"]) | {"images": values["images"], "fingerprint": values["fingerprint"]}
    except (OSError, ValueError, KeyError, TypeError):
        raise BadManifest(f"expected baselines.json of `covid-xray baselines`. Received: {file}") from None


def file_facts(manifest: Manifest, *, width: str, height: str, more: bool) -> Matrix:
    """Width, height, aspect and, with `more`, bytes per pixel, mode and format as codes: N x 3 or N x 6."""
    table = manifest.table
    columns, rows = number_column(table, width), number_column(table, height)
    facts = [columns, rows, columns / rows]
    if more:
        facts += [number_column(table, "file_bytes") / (columns * rows)]
        facts += [table[name].astype("category").cat.codes for name in ("file_mode", "file_format")]
    return np.nan_to_num(np.stack([np.asarray(fact, dtype=np.float64) for fact in facts], axis=1), nan=-1.0)


def frame_only(thumbnails: npt.NDArray[np.uint8], *, width: int = FRAME) -> Matrix:
    """The outer `width` pixels of each 32 x 32 thumbnail: N x 448 for a width of 4."""
    inside = np.zeros((SIDE, SIDE), dtype=bool)
    inside[width:-width, width:-width] = True
    return thumbnails[:, ~inside].astype(np.float64)


def _views(manifest: Manifest, facts: PixelFacts, cover: Cover) -> dict[str, tuple[str, Matrix, bool]]:
    stored = file_facts(manifest, width="file_width", height="file_height", more=True)
    views = {"file-facts": ("width, height, aspect, bytes per pixel, mode and format of the file", stored, True)}
    if {"width", "height"} <= set(manifest.table.columns):
        original = file_facts(manifest, width="width", height="height", more=False)
        views["original-size"] = (
            "width, height and aspect of the original file (columns width, height)",
            original,
            True,
        )
    frame = f"the outer {FRAME} of {SIDE} pixels on each side (they hold 6 % of the lung area of 178 masks)"
    views["frame"] = (frame, frame_only(facts.thumbnails), True)
    views["lungs-blacked-out"] = (f"the thumbnail without {cover.says}", cover.blacked(facts.thumbnails), True)
    whole = facts.thumbnails.reshape(len(facts.thumbnails), -1).astype(np.float64)
    views["thumbnail"] = (f"the whole picture at {SIDE} x {SIDE}", whole, False)
    return views


def _sources(manifest: Manifest) -> dict[str, npt.NDArray[np.int64]]:
    """For each class with images of at least two sources, the positions of its images."""
    if "source" not in manifest.table:
        return {}
    table = manifest.table.reset_index(drop=True)
    table = table[table["source"] != ""]
    return {str(label): rows.index.to_numpy() for label, rows in table.groupby("label") if rows["source"].nunique() > 1}


def _source_within(
    manifest: Manifest, facts: PixelFacts, chosen: npt.NDArray[np.int64], *, folds: int, seed: int, trees: int
) -> Baseline:
    """The source told within one class; sources with fewer people than folds are left out, and named."""
    part = manifest.take(manifest.table["image"].to_numpy()[chosen].tolist())
    people = groups(part).groupby(part.table["source"].to_numpy()).nunique()
    asked = part.table["source"].map(people).to_numpy() >= folds
    if (people >= folds).sum() < 2:
        raise BadSplit(f"expected 2 sources with at least {folds} people each. Received: {people.to_dict()}")
    part = part.take(asked)
    part = replace(part, table=part.table.assign(label=part.table["source"]))
    label = part.table["label"].to_numpy(dtype=str)
    fold = make_folds(part, folds=folds, seed=seed).to_numpy()
    features = facts.thumbnails[chosen[asked]].reshape(len(label), -1).astype(np.float64)
    told = cross_validated(features, label, fold, seed=seed, trees=trees)
    sees = f"the whole picture at {SIDE} x {SIDE}; names the source out of {', '.join(part.classes)}"
    return Baseline(
        "source", sees, False, scores(label, told, groups(part).to_numpy(), seed=seed), 1 / len(part.classes)
    )
