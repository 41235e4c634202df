"""A bundle and a table in, what the network says of each image beside what the table says of its patient out."""

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
    """N images as the fusion network sees them.

    Args:
        probabilities: N x C, calibrated.
        embedding: N x D.
        clinical: N x F in the units of the fields, NaN where absent.
        labels: N class codes.
        people: N, images of one patient or one radiograph share a name.
    """

    probabilities: Floats
    embedding: Floats
    clinical: Floats
    labels: NDArray[np.int64]
    people: NDArray[Any]

    def take(self, mask: Any) -> "Rows":
        """The rows of a mask, or in the order of indices."""
        return Rows(*(getattr(self, name)[mask] for name in self.__dataclass_fields__))

    def without_image(self) -> "Rows":
        """The same rows for who never saw the picture: even probabilities and an embedding of zeros."""
        even = np.full_like(self.probabilities, 1 / self.probabilities.shape[1])
        return replace(self, probabilities=even, embedding=np.zeros_like(self.embedding))

    @property
    def inputs(self) -> dict[str, Floats]:
        """As the network takes them."""
        return {"probabilities": self.probabilities, "embedding": self.embedding, "clinical": self.clinical}


@dataclass(frozen=True, eq=False)
class Answered:
    """Images with what the image network says of them and what their table says of the patient.

    Args:
        manifest: those that could be answered, in order.
        rows: of the same order.
        refused: clinical cells that were left out, with reasons.
        failed: how many images could not be answered.
    """

    manifest: Manifest
    rows: Rows
    refused: list[dict[str, str]]
    failed: int

    def take(self, mask: NDArray[np.bool_]) -> "Answered":
        """The images where `mask` is true."""
        return replace(self, manifest=self.manifest.take(mask), rows=self.rows.take(mask))


def answered(folder: Path, manifest: Manifest, *, progress: Progress | None = None) -> Answered:
    """The answers of a bundle for the images of a manifest, labels among its classes.

    Raises:
        InputRefused: a label that the network does not know, or not one image that it can answer.
    """
    predictor = Predictor(folder)
    unknown = sorted(set(manifest.table["label"]) - set(predictor.classes))
    if unknown:
        raise InputRefused(f"expected labels of {', '.join(predictor.classes)}. Received: {unknown[0]!r}")
    paths = [manifest.path(image) for image in manifest.table["image"]]
    found: list[Finding | None] = []
    for done, answer in enumerate(predictor.predict_many(paths), start=1):
        found.append(answer if isinstance(answer, Finding) else None)
        if progress:
            progress(done, len(paths))
    mask = np.array([answer is not None for answer in found])
    findings = [answer for answer in found if answer is not None]
    if not findings:
        raise InputRefused("expected at least one image that can be answered. Received: none")
    kept, table = manifest.take(mask), clinical_table(manifest.table)
    codes = {name: code for code, name in enumerate(predictor.classes)}
    rows = Rows(
        probabilities=np.array([list(answer.probabilities.values()) for answer in findings], np.float32),
        embedding=np.array([answer.embedding for answer in findings], np.float32),
        clinical=table.values[mask],
        labels=kept.table["label"].map(codes).to_numpy().astype(np.int64),
        people=groups(kept).to_numpy(dtype=str),
    )
    return Answered(
        kept,
        rows,
        [{str(k): str(v) for k, v in row.items()} for row in table.refused.to_dict("records")],
        int((~mask).sum()),
    )
