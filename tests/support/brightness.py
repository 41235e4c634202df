"""A predictor made of numpy alone, for the tests of evaluation: it tells radiographs apart by their mean brightness.

It reads real files through the real decoder and fails on those that the decoder refuses, as the ONNX one does.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from covid_xray.bundle.contents import Contents
from covid_xray.config import Limits
from covid_xray.data.manifest.manifest import Manifest
from covid_xray.errors import BadImage
from covid_xray.inference.finding import Failure, Finding, ModelIdentity
from covid_xray.inference.io.inputs import open_source
from support.contents import contents

CLASSES = ("covid", "normal", "virus")


@dataclass(frozen=True)
class Described:
    name: str = "brightness"
    version: str = "1"
    sha256: str = "ab" * 32
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def contents(self) -> Contents:
        return contents(**{"model": {"sha256": self.sha256}, **self.facts})


@dataclass(frozen=True)
class Brightness:
    """Class c is most probable near grey value `60 + 60 c`; `sharpness` says how sure it is of it."""

    classes: tuple[str, ...] = CLASSES
    sharpness: float = 0.05
    bundle: Described = Described()

    def predict_many(self, sources: Iterable[Path], *, class_maps: bool = False) -> Iterator[Finding | Failure]:
        for source in sources:
            yield self._answer(source, class_maps)

    def _answer(self, source: Path, class_maps: bool) -> Finding | Failure:
        try:
            pixels = open_source(source, limits=Limits()).pixels.astype(float)
        except BadImage as error:
            return Failure(str(source), error.code, error.message)
        scores = -self.sharpness * np.abs(pixels.mean() - 60 - 60 * np.arange(len(self.classes)))
        p = np.exp(scores) / np.exp(scores).sum()
        return Finding(
            image=str(source),
            probabilities=dict(zip(self.classes, map(float, p), strict=True)),
            label=self.classes[int(p.argmax())],
            reasons=(),
            prediction_set=None,
            gate=None,
            model=ModelIdentity(self.bundle.name, self.bundle.version, self.bundle.sha256),
            class_maps=np.stack([pixels[::4, ::4]] * len(p)).astype(np.float32) if class_maps else None,
        )


def draw(path: Path, *, grey: float, seed: int = 0, size: tuple[int, int] = (40, 32)) -> Path:
    """A noisy picture of mean brightness `grey`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).normal(grey, 5, size)
    Image.fromarray(noise.clip(0, 255).astype(np.uint8)).save(path)
    return path


def manifest(root: Path, rows: list[dict[str, Any]], *, quarantine: list[list[str]] | None = None) -> Manifest:
    """Draw an image for each row (keys image, label, `grey` where it is not that of the label) and tabulate them."""
    for seed, row in enumerate(rows):
        grey = row.pop("grey", 60 + 60 * CLASSES.index(row["label"]) if row["label"] in CLASSES else 128)
        draw(root / row["image"], grey=grey, seed=seed)
    refused = pd.DataFrame(quarantine or [], columns=["image", "code", "reason"], dtype=str)
    return Manifest(pd.DataFrame(rows, dtype=str).fillna(""), root, refused)


def baselines(classes: tuple[str, ...]) -> dict[str, Any]:
    """What baselines.json holds: two baselines without lungs, one that sees them."""

    def row(name: str, value: float, *, blind: bool = True) -> dict[str, Any]:
        score = {"value": value, "ci_low": value - 0.1, "ci_high": value + 0.1, "n": 900}
        return {"name": name, "sees": f"the {name}", "without_lungs": blind, "scores": {"macro_f1": score}}

    rows = [row("file-facts", 0.35), row("frame", 0.42), row("thumbnail", 0.9, blind=False)]
    return {"classes": list(classes), "rows": rows, "images": 900, "fingerprint": "cd" * 32}
