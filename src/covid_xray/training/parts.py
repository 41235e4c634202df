"""A manifest, its split and decoded pixels in, one side of the split as training takes it out."""

import numpy as np
import pandas as pd

from covid_xray.data.manifest import Manifest
from covid_xray.training.batches import Part
from covid_xray.training.cache import PixelCache
from covid_xray.training.sampling import group_numbers


def part_of(manifest: Manifest, split: pd.Series, name: str, cache: PixelCache) -> Part:
    """The images of the part `name` (train, val ...), with labels as numbers in the manifest's order of classes."""
    rows = (split.reindex(manifest.table["image"]) == name).to_numpy()
    part = manifest.take(rows).table
    codes = np.array([manifest.classes.index(label) for label in part["label"]], dtype=np.int64)
    sources = list(part["source"]) if "source" in part else [""] * len(part)
    return Part(tuple(part["image"]), codes, manifest.classes, cache, group_numbers(codes.tolist(), sources))
