"""Make a folder in which the examples of docstrings and pages run: drawn scans, a picture, and small bundles."""

import shutil
from pathlib import Path

from covid_xray.bundle.bundle import record
from covid_xray.images.phantoms.dataset import draw_dataset
from covid_xray.inference.predictor import Predictor
from covid_xray.inference.selftest import references
from support.bundles import make_bundle, network


def make_sandbox(folder: Path) -> Path:
    """Draw `scans`, `new`, `chest.png` and `archive.zip`, and write bundles of three different small networks.

    They are `runs/x/bundle` and `runs/first/bundle`, the same; `runs/a`; and `runs/b`.
    """
    draw_dataset(folder / "scans", patients=15, size=64, clean=True)
    first, *others = sorted((folder / "scans" / "images").glob("*.png"))
    shutil.copy(first, folder / "chest.png")
    (folder / "new").mkdir()
    for path in others[:3]:
        shutil.copy(path, folder / "new")
    (folder / "more").mkdir()
    for path in sorted((folder / "scans" / "images").glob("*.dcm"))[:2]:
        shutil.copy(path, folder / "more")
    shutil.make_archive(str(folder / "archive"), "zip", folder / "new")
    for name, sharpness in {"x/bundle": 1.0, "first/bundle": 1.0, "a": 0.5, "b": 0.2}.items():
        bundle = make_bundle(folder / "runs" / name, model=network(sharpness=sharpness))
        record(bundle, reference=references(Predictor(bundle, threads=1)))
    return folder
