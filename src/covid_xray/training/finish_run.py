"""Finish a run: calibrate its bundle and write its `manifest.json`."""

import importlib.metadata
import os
import platform
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras
import pandas as pd

from covid_xray.bundle.bundle import bundle_folder
from covid_xray.bundle.trained import Trained, join, read_trained
from covid_xray.config import Training
from covid_xray.data.manifest.manifest import Manifest, fingerprint
from covid_xray.evaluation.calibrate import fit_or_explain
from covid_xray.evaluation.gate.fit import describe_gate, store_gate
from covid_xray.evaluation.run_schema import RunManifest
from covid_xray.evaluation.schema_base import require_schema
from covid_xray.evaluation.trained_images import list_split
from covid_xray.files import write_json
from covid_xray.inference.networks.fastest import processor
from covid_xray.training import precision
from covid_xray.training.warm_start import open_initial

PACKAGES = (
    "covid-xray",
    "keras",
    "tensorflow-cpu",
    "tensorflow",
    "jax",
    "torch",
    "numpy",
    "onnx",
    "onnxruntime",
    "pillow",
)


def describe_data(manifest: Manifest, split: pd.Series) -> dict[str, Any]:
    """Describe the data: fingerprint, counts by part and class, and by source and licence where known."""
    table = manifest.table.assign(part=split.reindex(manifest.table["image"]).to_numpy())
    facts: dict[str, Any] = {"fingerprint": fingerprint(manifest), "images": {}}
    for part, rows in table.groupby("part"):
        facts["images"][str(part)] = {str(k): int(v) for k, v in rows["label"].value_counts().sort_index().items()}
    trained = table[table["part"] == "train"]
    for column in ("source", "license"):
        if column in trained:
            facts[column] = {str(k): int(v) for k, v in trained[column].fillna("not stated").value_counts().items()}
    return facts


def list_trained(manifest: Manifest, split: pd.Series, settings: Training) -> Trained:
    """List the images that the network will know: of this run, and of networks that it begins or learns from."""
    before = [run / "bundle" for run in settings.average_of if (run / "bundle").is_dir()]
    before += [bundle_folder(teacher) for teacher in settings.distill_from]
    before += [] if settings.init is None else [open_initial(settings.init).folder]
    known = [found for found in map(read_trained, before) if found]
    return join(list_split(manifest, split), known)


def calibrate_bundle(
    folder: Path, manifest: Manifest, split: pd.Series, *, progress: Callable[[str, int, int, str], None]
) -> str:
    """Fit the bundle on the calibration part of the run; return in words what was fitted, or why nothing was.

    Temperature, conformal sets and operating points need images that neither trained the network nor chose its epoch.
    Without such a part, or with too few images in it, the bundle stays as it is.
    """
    rows = split.reindex(manifest.table["image"]).eq("calibration").to_numpy()
    if not rows.any():
        return "not calibrated: the split has no calibration part"
    held = manifest.take(rows)
    result = fit_or_explain(
        folder, held, part="calibration", progress=lambda done, total: progress("calibrate", done, total, "")
    )
    progress("calibrate", len(held.table), len(held.table), result)
    gate = store_gate(
        folder, manifest, split, part="calibration", progress=lambda done, total: progress("gate", done, total, "")
    )
    progress("gate", len(held.table), len(held.table), describe_gate(gate))
    return f"{result}; {describe_gate(gate)}"


def write_run_manifest(
    out: Path, *, facts: Mapping[str, Any], parity: Mapping[str, float], seconds: float, ended: str, calibrated: str
) -> None:
    """Write `manifest.json`: settings, data, versions and machine of this run."""
    settings = facts["training"]["settings"]
    manifest = {
        "bundle": dict(facts),
        "parity": dict(parity),
        "ended": ended,
        "calibrated": calibrated,
        "seconds": round(seconds, 1),
        "precision": precision.choose(settings["precision"], model=settings["model"]),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "packages": _versions(),
        "keras_backend": keras.backend.backend(),
        "machine": {"system": platform.platform(), "processor": processor(), "cores": os.cpu_count()},
        "python": platform.python_version(),
    }
    write_json(out / "manifest.json", require_schema(manifest, RunManifest))


def _versions() -> dict[str, str]:
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
