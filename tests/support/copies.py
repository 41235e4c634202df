"""A bundle that lists its images, and copies of them under other names."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from covid_xray.bundle.bundle import networks, read_facts, write_bundle
from covid_xray.bundle.trained import Trained
from covid_xray.data.manifest.manifest import read_manifest
from covid_xray.evaluation.trained_images import list_split
from support.bundles import CLASSES, grey, make_bundle
from support.drawing import png


def draw_classes(folder: Path, *, each: int, first: int = 0) -> Path:
    """folder/{class}/NNN.png, which the small network answers rightly: its grey, with shades of its own."""
    for label in CLASSES:
        (folder / label).mkdir(parents=True, exist_ok=True)
        for number in range(first, first + each):
            random = np.random.default_rng((CLASSES.index(label), number))
            shades = Image.fromarray(random.normal(0, 12, (9, 8)).astype(np.float32)).resize((80, 96), Image.BICUBIC)
            pixels = grey(label, height=96, width=80, seed=number) + np.asarray(shades)
            (folder / label / f"{number:03}.png").write_bytes(png(np.clip(pixels, 0, 255).astype(np.uint8)))
    return folder


def knowing(run: Path, data: Path, **parts: str) -> Path:
    """A run whose bundle lists the images of `data`: part of a number below 10, `train0="val"` for images 0 ..."""
    manifest = read_manifest(data)
    names = manifest.table["image"]
    part = [parts.get(f"n{Path(name).stem}", "train") for name in names]
    split = pd.Series(part, index=pd.Index(names, name="image"), name="split")
    make_bundle(run / "bundle")
    trained = Trained((list_split(manifest, split),))
    facts = {**read_facts(run / "bundle"), "trained": trained.about}
    write_bundle(run / "bundle", **{**networks(run / "bundle"), "trained": trained.to_bytes()}, facts=facts)
    return run


def copies(folder: Path, target: Path) -> Path:
    """Every image of `folder` smaller and saved again, under another name."""
    for path in sorted(folder.rglob("*.png")):
        place = target / path.parent.name / f"copy-{path.stem}.jpg"
        place.parent.mkdir(parents=True, exist_ok=True)
        stream = io.BytesIO()
        with Image.open(path) as picture:
            picture.resize((60, 72), Image.Resampling.BICUBIC).save(stream, "JPEG", quality=85)
        place.write_bytes(stream.getvalue())
    return target
