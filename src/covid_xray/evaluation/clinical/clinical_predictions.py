"""Predict the images of a manifest and join their clinical values."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from covid_xray.data.manifest.clinical_table import clinical_table
from covid_xray.data.manifest.manifest import Manifest
from covid_xray.data.split.groups import groups
from covid_xray.errors import InputRefused
from covid_xray.inference.finding import Finding
from covid_xray.inference.predictor import Predictor

Floats = NDArray[np.float32]
Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Rows:
    """N images as the fusion network sees them."""

    probabilities: Floats  # N x C, calibrated
    embedding: Floats  # N x D
    clinical: Floats  # N x F in the units of the fields, NaN where absent
    labels: NDArray[np.int64]  # N class codes
    people: NDArray[Any]  # N, images of one patient or one radiograph share a name

    def take(self, mask: Any) -> "Rows":
        """Select rows by mask or indices."""
        return Rows(*(getattr(self, name)[mask] for name in self.__dataclass_fields__))

    def without_image(self) -> "Rows":
        """Return the rows without image information: uniform probabilities and an embedding of zeros."""
        even = np.full_like(self.probabilities, 1 / self.probabilities.shape[1])
        return replace(self, probabilities=even, embedding=np.zeros_like(self.embedding))

    @property
    def inputs(self) -> dict[str, Floats]:
        """The network's inputs by name."""
        return {"probabilities": self.probabilities, "embedding": self.embedding, "clinical": self.clinical}


@dataclass(frozen=True, eq=False)
class ClinicalPredictions:
    """Images with the network's output and their clinical values."""

    manifest: Manifest  # those that could be answered, in order
    rows: Rows  # of the same order
    refused: list[dict[str, str]]  # clinical cells that were left out, with reasons
    failed: int  # how many images could not be answered

    def take(self, mask: NDArray[np.bool_]) -> "ClinicalPredictions":
        """Select the images where `mask` is true."""
        return replace(self, manifest=self.manifest.take(mask), rows=self.rows.take(mask))


def predict_with_clinical(folder: Path, manifest: Manifest, *, progress: Progress | None = None) -> ClinicalPredictions:
    """Predict the images of a manifest with the bundle in `folder`.

    Raises:
        InputRefused: a label that the network does not know, or no image that can be predicted.
    """
    predictor = Predictor(folder)
    unknown = sorted(set(manifest.table["label"]) - set(predictor.classes))
    if unknown:
        raise InputRefused(f"Unknown label: {unknown[0]!r}. The network knows {', '.join(predictor.classes)}.")
    paths = [manifest.path(image) for image in manifest.table["image"]]
    found: list[Finding | None] = []
    for done, answer in enumerate(predictor.predict_many(paths), start=1):
        found.append(answer if isinstance(answer, Finding) else None)
        if progress:
            progress(done, len(paths))
    mask = np.array([answer is not None for answer in found])
    findings = [answer for answer in found if answer is not None]
    if not findings:
        raise InputRefused("No image could be predicted. Check the images with covid-xray doctor.")
    kept, table = manifest.take(mask), clinical_table(manifest.table)
    codes = {name: code for code, name in enumerate(predictor.classes)}
    rows = Rows(
        probabilities=np.array([list(answer.probabilities.values()) for answer in findings], np.float32),
        embedding=np.array([answer.embedding for answer in findings], np.float32),
        clinical=table.values[mask],
        labels=kept.table["label"].map(codes).to_numpy().astype(np.int64),
        people=groups(kept).to_numpy(dtype=str),
    )
    return ClinicalPredictions(
        kept,
        rows,
        [{str(k): str(v) for k, v in row.items()} for row in table.refused.to_dict("records")],
        int((~mask).sum()),
    )
