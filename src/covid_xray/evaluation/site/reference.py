"""Keep in a bundle what a hospital is compared with: healthy features by source, and scores of ill patients.

The scores should be those of hospitals that the network never saw (`left_out`): what a threshold costs there is the
best guess of what it costs at the next hospital. They come from networks of the same recipe, trained without the
hospital; without such runs the ill of the calibration part serve, which is said wherever they are used.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from covid_xray.bundle.bundle import load_bundle, record
from covid_xray.data.manifest.manifest import Manifest
from covid_xray.errors import BadBundle, UsageError
from covid_xray.evaluation.gate.sample import Progress
from covid_xray.inference.gate import packed, unpacked
from covid_xray.inference.io.inputs import Source
from covid_xray.inference.networks.network import calibrate
from covid_xray.inference.predictor import BATCH, Predictor
from covid_xray.inference.site.correction import healthy_class, log_odds

Array = NDArray[np.float64]
Facts = dict[str, Any]
VERSION = 1
LEVELS = np.linspace(0, 1, 41)  # of the table of quantiles
MOST = 300  # healthy images of one source
KEPT = 48  # embeddings of ill images
FEW = 20  # images of a source, below which nothing is stored of it
LINEAR = 0.02  # largest share of the variance of log odds that the features may leave unexplained


@dataclass(frozen=True, eq=False)
class Healthy:
    """Features of the healthy images of one source: mean and variance, D each."""

    images: int
    mean: Array
    variance: Array


@dataclass(frozen=True, eq=False)
class IllScores:
    """Quantiles, at `LEVELS`, of the log odds of ill images of one hospital; `left_out` of training or not."""

    images: int
    left_out: bool
    quantiles: Array

    def above(self, threshold: float) -> float:
        """Share of the images whose score is above `threshold`, 0..1."""
        if threshold >= self.quantiles[-1]:
            return 0.0
        return 1.0 - float(np.interp(threshold, self.quantiles, LEVELS))


@dataclass(frozen=True, eq=False)
class Reference:
    """What a bundle knows of its own hospitals.

    Args:
        healthy: source to features.
        direction: D, change of the uncalibrated log odds of being ill for each feature; `None` where they are no
            linear function of the features.
        intercept: log odds where all features are 0.
        ill: hospital to scores.
        ill_embeddings: M x D, of ill images that trained nothing.
    """

    healthy: Mapping[str, Healthy]
    direction: Array | None
    intercept: float
    ill: Mapping[str, IllScores]
    ill_embeddings: Array

    @property
    def left_out(self) -> bool:
        """Whether the scores of the ill are of hospitals that were left out of training."""
        return any(one.left_out for one in self.ill.values())

    def sensitivity(self, threshold: float) -> float | None:
        """Mean over the hospitals of the share of the ill above `threshold`; `None` where nothing is known."""
        known = [one for one in self.ill.values() if one.left_out == self.left_out]
        return float(np.mean([one.above(threshold) for one in known])) if known else None

    def pooled(self) -> Healthy | None:
        """Features of the healthy of all sources, each source by its number of images; `None` without any."""
        if not self.healthy:
            return None
        counts = np.array([one.images for one in self.healthy.values()], dtype=np.float64)
        mean, variance = (
            np.average([getattr(one, name) for one in self.healthy.values()], axis=0, weights=counts)
            for name in ("mean", "variance")
        )
        return Healthy(int(counts.sum()), mean, variance)


def open_reference(facts: Mapping[str, Any]) -> Reference | None:
    """The content of `site` in bundle.json; `None` where there is none. Raises `BadBundle` for another version."""
    stored = facts.get("site")
    if not stored:
        return None
    if stored.get("version") != VERSION:
        raise BadBundle(f"The bundle's facts for sites have version {stored.get('version')}, not {VERSION}.")
    direction = stored["direction"]
    return Reference(
        healthy={
            name: Healthy(one["images"], unpacked(one["mean"]), unpacked(one["variance"]))
            for name, one in stored["healthy"].items()
        },
        direction=None if direction is None else unpacked(direction),
        intercept=float(stored["intercept"]),
        ill={
            name: IllScores(one["images"], one["left_out"], np.array(one["quantiles"], dtype=np.float64))
            for name, one in stored["ill"].items()
        },
        ill_embeddings=unpacked(stored["ill_embeddings"]),
    )


def store_reference(
    folder: Path,
    manifest: Manifest,
    split: "pd.Series",
    *,
    part: str,
    left_out: Mapping[str, ArrayLike] | None = None,
    progress: Progress | None = None,
) -> Facts:
    """Measure and record `site` in the bundle in `folder`; what an answer depends on does not change.

    Args:
        folder: of the bundle.
        manifest: the images of the run, with sources and labels.
        split: image to part.
        part: `calibration` or `val`, whose ill images trained nothing.
        left_out: hospital to the log odds of its ill images, by a network that never saw the hospital; `None` keeps
            those that the bundle has.
        progress: called with (images done, images in all).

    Raises:
        UsageError: the bundle has no healthy class, or no source has enough healthy images.
    """
    predictor = Predictor(load_bundle(folder))
    well = healthy_class(predictor.bundle.facts)
    if well is None:
        raise UsageError(f"The bundle in {folder} has no healthy class. It needs a class normal, or `well`.")
    table = manifest.table.assign(part=manifest.table["image"].map(split))
    table = table.assign(source=table["source"].replace("", "all")) if "source" in table else table.assign(source="all")
    healthy = table[(table["label"] == well) & (table["part"] == "train")]
    healthy = healthy.sample(frac=1, random_state=0).groupby("source").head(MOST)
    ill = table[table["label"].isin([name for name in predictor.classes if name != well]) & (table["part"] == part)]
    chosen = pd.concat([healthy, ill])
    paths = [manifest.path(image) for image in chosen["image"]]
    p, embeddings = measure(predictor, paths, progress=progress)
    place = predictor.classes.index(well)
    facts = reference_facts(
        p, embeddings, chosen.assign(healthy=chosen["label"] == well), well=place,
        temperature=predictor.bundle.temperature, left_out=left_out or {},
    )  # fmt: skip
    if left_out is None:
        before = (predictor.bundle.facts.get("site") or {}).get("ill", {})
        facts["ill"] |= {name: one for name, one in before.items() if one["left_out"]}
    record(folder, site=facts)
    return facts


def measure(
    predictor: Predictor, sources: Sequence[Source], *, progress: Progress | None = None
) -> tuple[NDArray[np.float32], Array]:
    """Uncalibrated probabilities N x C and embeddings N x D of images; NaN for one that cannot be read."""
    from covid_xray.errors import BadImage

    blank = np.zeros((predictor.bundle.height, predictor.bundle.width), dtype=np.uint8)
    found, bad = [], []
    for start in range(0, len(sources), BATCH):
        pixels = []
        for source in sources[start : start + BATCH]:
            try:
                pixels.append(predictor.read(source))
                bad.append(False)
            except BadImage:
                pixels.append(blank)
                bad.append(True)
        found.append(predictor.run_uncalibrated(np.stack(pixels)))
        if progress:
            progress(min(start + BATCH, len(sources)), len(sources))
    p = np.concatenate([one["probabilities"] for one in found])
    embeddings = np.concatenate([one["embedding"] for one in found]).astype(np.float64)
    p[bad], embeddings[bad] = np.nan, np.nan
    return p, embeddings


def reference_facts(
    probabilities: NDArray[np.float32],
    embeddings: Array,
    table: "pd.DataFrame",
    *,
    well: int,
    temperature: float,
    left_out: Mapping[str, ArrayLike],
) -> Facts:
    """The content of `site` in bundle.json.

    Args:
        probabilities: N x C, uncalibrated.
        embeddings: N x D.
        table: N rows with `source` and `healthy`.
        well: place of the healthy class.
        temperature: of the bundle.
        left_out: as for `store_reference`.

    Raises:
        UsageError: no source has `FEW` healthy images.
    """
    good = np.isfinite(embeddings).all(axis=1) & np.isfinite(probabilities).all(axis=1)
    p, e, healthy = probabilities[good], embeddings[good], table["healthy"].to_numpy(dtype=bool)[good]
    sources = table["source"].to_numpy(dtype=object)[good]
    counts = {name: int((healthy & (sources == name)).sum()) for name in sorted(set(sources))}
    known = {name: e[healthy & (sources == name)] for name, count in counts.items() if count >= FEW}
    if not known:
        raise UsageError(f"No source has {FEW} healthy training images; nothing can be stored for sites.")
    score = log_odds(calibrate(p, temperature=temperature), well=well)
    ill = {name: score[~healthy & (sources == name)] for name in sorted(set(sources[~healthy]))}
    direction, intercept = linear_part(log_odds(p, well=well), e)
    few = np.flatnonzero(~healthy)
    few = np.random.default_rng(0).permutation(few)[:KEPT]
    return {
        "version": VERSION,
        "healthy": {
            name: {"images": len(rows), "mean": packed(rows.mean(axis=0)), "variance": packed(rows.var(axis=0))}
            for name, rows in known.items()
        },
        "direction": None if direction is None else packed(direction),
        "intercept": intercept,
        "ill": {
            **{name: _quantiles(values, left_out=False) for name, values in ill.items() if len(values) >= FEW},
            **{f"{name}, left out": _quantiles(values, left_out=True) for name, values in left_out.items()},
        },
        "ill_embeddings": packed_rows(e[few]),
    }  # fmt: skip


def _quantiles(scores: ArrayLike, *, left_out: bool) -> Facts:
    values = np.asarray(scores, dtype=np.float64)
    table = [round(float(value), 4) for value in np.quantile(values, LEVELS)]
    return {"images": len(values), "left_out": left_out, "quantiles": table}


def linear_part(score: Array, embeddings: Array) -> tuple[Array | None, float]:
    """D weights and the constant with which features give the log odds; `None` where they do not."""
    if not len(score):
        return None, 0.0
    design = np.column_stack([embeddings, np.ones(len(embeddings))])
    solution = np.linalg.lstsq(design, score, rcond=1e-7)[0]
    rest = float(np.var(score - design @ solution))
    # With fewer images than features anything fits: half of them must foretell the other half.
    half = np.arange(len(score)) % 2 == 0
    other = np.linalg.lstsq(design[half], score[half], rcond=1e-4)[0]
    missed = float(np.var(score[~half] - design[~half] @ other)) if (~half).any() else 0.0
    spread = float(np.var(score)) or 1.0
    if rest > LINEAR * spread or (len(score) <= design.shape[1] and missed > spread / 4):
        return None, 0.0
    return np.asarray(solution[:-1], dtype=np.float64), float(solution[-1])


def packed_rows(rows: Array) -> Facts:
    """M x D values as bytes, each row with its own scale."""
    steps = np.maximum(np.abs(rows).max(axis=1, initial=0.0), 1e-12) / 127
    return {**packed(np.rint(rows / steps[:, None]), dtype="<i1"), "scale": [float(f"{step:.6g}") for step in steps]}
