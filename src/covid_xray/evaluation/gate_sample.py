"""Images of a manifest in, what the gate sees of them out: looks and embeddings, in one pass of the network."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from covid_xray.bundle.finding import Finding
from covid_xray.bundle.gate_picture import Look, look
from covid_xray.bundle.predictor import Predictor, open_source
from covid_xray.data.groups import groups
from covid_xray.data.manifest import Manifest
from covid_xray.errors import BadImage
from covid_xray.images.radiograph import Radiograph

Progress = Callable[[int, int], None]
Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Sample:
    """What the gate sees of N images: looks, embeddings N x D, and their class and group (patient or copies)."""

    looks: Sequence[Look]
    embeddings: Array
    labels: NDArray[np.str_]
    members: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.looks)

    def take(self, rows: Any) -> "Sample":
        """Some of the images: a mask or positions."""
        places = np.arange(len(self))[rows]
        return Sample([self.looks[i] for i in places], self.embeddings[rows], self.labels[rows], self.members[rows])

    @property
    def thumbnails(self) -> NDArray[np.float32]:
        """N x 32 x 32, 0..1."""
        return np.stack([seen.thumbnail for seen in self.looks])


def sample_of(
    predictor: Predictor, manifest: Manifest, *, done: int = 0, total: int = 0, progress: Progress | None = None
) -> Sample:
    """What the gate sees of a manifest's images; those that cannot be read or have no finite embedding are left out."""
    looks: list[Look] = []
    rows: list[int] = []

    def opened() -> Iterator[Radiograph]:
        for row, image in enumerate(manifest.table["image"]):
            try:
                radiograph = open_source(Path(manifest.path(image)), limits=predictor.limits)
            except BadImage:
                continue
            looks.append(look(radiograph))
            rows.append(row)
            yield radiograph

    embeddings: list[Any] = []
    for answer in predictor.predict_many(opened()):
        embeddings.append(answer.embedding if isinstance(answer, Finding) else None)
        if progress:
            progress(done + len(embeddings), max(total, done + len(embeddings)))
    good = [i for i, value in enumerate(embeddings) if value is not None and np.isfinite(value).all()]
    chosen = [rows[i] for i in good]
    return Sample(
        [looks[i] for i in good],
        np.array([embeddings[i] for i in good], dtype=np.float64),
        manifest.table["label"].to_numpy(dtype=str)[chosen],
        groups(manifest).to_numpy(dtype=str)[chosen],
    )
