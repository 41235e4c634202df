"""Folds that were answered without training anything."""

from pathlib import Path

import numpy as np
import pandas as pd

from covid_xray.config import Training
from covid_xray.data.manifest.manifest import Manifest
from covid_xray.evaluation.predictions import Predictions
from covid_xray.training.crossval.fold_pooling import pool, write_study
from covid_xray.training.crossval.folds import Fold, Protocol, plan_folds

CLASSES = ("covid", "nor|mal <b>")  # labels are the user's


def manifest(*, sources: int = 1) -> Manifest:
    """40 images of 20 patients."""
    rows = [(f"{i:02}.png", CLASSES[i // 2 % 2], f"p{i // 2}", f"s{i // 4 % sources}") for i in range(40)]
    table = pd.DataFrame(rows, columns=["image", "label", "patient_id", "source"], dtype=str)
    # Fingerprints need no files where the hashes are known.
    table["sha256"] = [f"{i:064x}" for i in range(40)]
    return Manifest(table, Path("nowhere"), pd.DataFrame(columns=["image", "code", "reason"], dtype=str))


def answers(fold: Fold, *, right: float, seed: int = 0, failed: int = 0) -> Predictions:
    """A network that is right in the share `right` of the held-out images; the first `failed` have no score."""
    rows, classes = fold.held.table.reset_index(drop=True), fold.classes
    hit = np.random.default_rng(seed).random(len(rows)) < right
    p = [0.8 if (label == classes[0]) == h else 0.2 for label, h in zip(rows["label"], hit, strict=True)]
    table = rows.assign(predicted=[classes[0] if x > 0.5 else classes[1] for x in p], reasons="")
    for name, values in zip(classes, (p, [1 - x for x in p]), strict=True):
        table[f"p_{name}"] = values
    lost = rows[["image", "label"]].assign(code="damaged", message="no").head(failed)
    return Predictions(table.iloc[failed:].reset_index(drop=True), classes, lost)


def records(folds: list[Fold]) -> list[dict[str, object]]:
    common = {
        "images": {"train": 20, "val": 5},
        "seconds": 1.0,
        "best_epoch": 2,
        "packages": {},
        "precision": "float32",
    }
    return [
        {"name": f.name, "problem": f.problem, "scored": len(f.held.table), "leaking": f.leaking, **common}
        for f in folds
    ]


def study(out: Path, whole: Manifest, protocol: Protocol, *, right: float = 0.9) -> dict[str, object]:
    folds = plan_folds(whole, protocol)
    found = pool([answers(fold, right=right, seed=k) for k, fold in enumerate(folds)], folds, whole)
    return write_study(
        found, records(folds), whole, folds=folds, protocol=protocol, settings=Training(), out=out, rounds=50
    )
