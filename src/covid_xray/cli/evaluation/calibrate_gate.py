"""Fit the input gate, and measure what hospitals are compared with, for `covid-xray calibrate`."""

from pathlib import Path
from typing import Any

import pandas as pd

from covid_xray.bundle.bundle import read_facts
from covid_xray.bundle.contents import read_contents
from covid_xray.cli import selection
from covid_xray.cli.console import bar
from covid_xray.data.manifest.manifest import Manifest
from covid_xray.data.manifest.tables import read_table
from covid_xray.data.split.groups import with_duplicates
from covid_xray.data.split.split import read_split
from covid_xray.errors import UsageError
from covid_xray.evaluation.gate.fit import store_gate
from covid_xray.evaluation.site.reference import store_reference


def fit_gate(run: Path, data: Path, *, images: Path | None, part: str, rate: float) -> dict[str, Any]:
    """Fit and store the gate of a run; see `evaluation.gate.fit.store_gate`.

    Args:
        run: folder with bundle and split.csv.
        data, images: the data set of the run.
        part: val or calibration, for the thresholds.
        rate: share of good images that the gate may refuse, above 0.
    """
    manifest, split = _images(run, data, images=images, part=part)
    with bar("gate") as progress:
        return store_gate(run / "bundle", manifest, split, part=part, rate=rate, progress=progress)


def fit_site(run: Path, data: Path, *, images: Path | None, part: str) -> str:
    """Measure and store what `covid-xray commission` compares a hospital with; return in words what was done.

    Args:
        run: folder with bundle and split.csv.
        data, images: of the run.
        part: val or calibration, whose ill images trained nothing.
    """
    manifest, split = _images(run, data, images=images, part=part)
    try:
        with bar("site") as progress:
            facts = store_reference(run / "bundle", manifest, split, part=part, progress=progress)
    except UsageError as error:
        return f"nothing was stored for hospitals: {error.message}"
    return f"stored for hospitals: healthy of {', '.join(facts['healthy'])}; ill of {', '.join(facts['ill']) or 'none'}"


def answered(bundle: Path, manifest: Manifest) -> Manifest:
    """Leave out images of the illnesses that the network was trained on but does not answer (`unanswered`)."""
    left_out = manifest.table["label"].isin(list(read_contents(read_facts(bundle)).unanswered)).to_numpy()
    return manifest.take(~left_out)


def _images(run: Path, data: Path, *, images: Path | None, part: str) -> tuple[Manifest, pd.Series]:
    """The training images and those of `part`, with the groups that the split kept together."""
    split = read_split(run / "split.csv")
    everything = selection.read(data, images=images, show=False, check=False)
    manifest = answered(
        run / "bundle", everything.take(everything.table["image"].map(split).isin(["train", part]).to_numpy())
    )
    table = read_table(run / "split.csv", required=("image", "split"))
    return (with_duplicates(manifest, table) if "group" in table else manifest), split
