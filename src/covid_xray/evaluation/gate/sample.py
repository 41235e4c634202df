"""Compute the gate's features and the embeddings of a manifest's images, in one pass of the network."""

import dataclasses
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from covid_xray.data.manifest.manifest import Manifest
from covid_xray.data.split.groups import groups
from covid_xray.errors import BadImage
from covid_xray.inference.crop_detector import extent
from covid_xray.inference.gate_features import Look, look
from covid_xray.inference.io.inputs import open_source
from covid_xray.inference.lungs import Lungs
from covid_xray.inference.predictor import BATCH, Predictor

Progress = Callable[[int, int], None]
Array = NDArray[np.float64]
# Share of a picture that is its least or greatest grey, above which it does not count: lungs that a program cut out,
# for instance. A gate that has to let them pass lets half of a chest and films upside down pass too.
CUT_OUT = 0.5
_NONE = np.empty((0, 0), dtype=np.uint8)


@dataclass(frozen=True, eq=False)
class Sample:
    """What the gate measures of N images."""

    looks: Sequence[Look]  # of the pictures
    embeddings: Array  # N x D
    labels: NDArray[np.str_]  # class and group (patient or copies) of each
    members: NDArray[np.str_]
    sources: NDArray[np.str_] | None = None  # where each is from; `None` where that is not known
    lungs: Array | None = None  # N x 69, `gate_part.extent`; `None` for a bundle without a lung network

    def __len__(self) -> int:
        return len(self.looks)

    def take(self, rows: Any) -> "Sample":
        """Select images by mask or positions."""
        places = np.arange(len(self))[rows]
        sources, lungs = (None if one is None else one[rows] for one in (self.sources, self.lungs))
        looks = [self.looks[i] for i in places]
        return Sample(looks, self.embeddings[rows], self.labels[rows], self.members[rows], sources, lungs)

    @property
    def thumbnails(self) -> NDArray[np.float32]:
        """Thumbnails, N x 32 x 32, 0..1."""
        return np.stack([seen.thumbnail for seen in self.looks])


@dataclass(frozen=True, eq=False)
class _Seen:
    """One image: its row in the manifest, its features, the network's input and the lungs."""

    row: int
    look: Look
    pixels: NDArray[np.uint8]
    lungs: Array | None


def measure_sample(
    predictor: Predictor, manifest: Manifest, *, done: int = 0, total: int = 0, progress: Progress | None = None
) -> Sample:
    """Measure a manifest's images; those that cannot be read or have no finite embedding are left out."""
    seen: list[_Seen] = []
    embeddings: list[Array] = []
    for some in _batches(predictor, manifest):
        rows = predictor.run(np.stack([one.pixels for one in some]))["embedding"].astype(np.float64)
        good = [i for i, row in enumerate(rows) if np.isfinite(row).all()]
        seen += [dataclasses.replace(some[i], pixels=_NONE) for i in good]
        embeddings += [rows[i] for i in good]
        if progress:
            progress(done + some[-1].row + 1, max(total, done + some[-1].row + 1))
    places = [one.row for one in seen]
    table = manifest.table
    return Sample(
        [one.look for one in seen],
        np.array(embeddings, dtype=np.float64),
        table["label"].to_numpy(dtype=str)[places],
        groups(manifest).to_numpy(dtype=str)[places],
        table["source"].to_numpy(dtype=str)[places] if "source" in table else None,
        np.array([one.lungs for one in seen]) if predictor.bundle.lungs is not None else None,
    )


def extent_of(lungs: Lungs | None) -> Array | None:
    """Return `crop_detector.extent`, or `None` without a lung network."""
    return None if lungs is None else extent(lungs)


def _batches(predictor: Predictor, manifest: Manifest) -> Iterator[list[_Seen]]:
    def read(row: int, path: Path) -> _Seen | None:
        try:
            view = predictor.view(radiograph := open_source(path, limits=predictor.limits))
        except BadImage:
            return None
        return _Seen(row, look(radiograph), view.pixels, extent_of(view.lungs))

    paths = [Path(manifest.path(image)) for image in manifest.table["image"]]
    with ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="gate") as pool:
        for start in range(0, len(paths), BATCH):
            rows = range(start, min(start + BATCH, len(paths)))
            some = [one for one in pool.map(read, rows, [paths[row] for row in rows]) if one is not None]
            if some:
                yield some


def evenly(manifest: Manifest, rows: NDArray[np.intp], *, most: int, seed: int) -> NDArray[np.intp]:
    """Draw at most `most` of these rows, alike from each source, so that the largest does not decide; sorted."""
    drawn = np.random.default_rng(seed).permutation(rows)
    table = manifest.table.iloc[drawn]
    source = table["source"].fillna("") if "source" in table else pd.Series("", index=table.index)
    turn = source.groupby(source.to_numpy()).cumcount().to_numpy()
    return np.sort(drawn[np.argsort(turn, kind="stable")[:most]])


def whole_pictures(
    known: Sample, fresh: Sample, pieces: Sample | None, *, least: int
) -> tuple[Sample, Sample, Sample | None]:
    """Leave out pictures that are mostly one grey (`CUT_OUT`), unless fewer than `least` remain."""
    plain = np.array([seen.extremes <= CUT_OUT for seen in known.looks], dtype=bool)
    if plain.sum() < least:
        return known, fresh, pieces
    gone = set(known.members[~plain]) - set(known.members[plain])
    cut = None if pieces is None else pieces.take(~np.isin(pieces.members, sorted(gone)))
    good = np.array([seen.extremes <= CUT_OUT for seen in fresh.looks], dtype=bool)
    return known.take(plain), fresh.take(good), cut
