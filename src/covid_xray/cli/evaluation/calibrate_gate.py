"""Fit the input gate for `covid-xray calibrate`."""

from pathlib import Path
from typing import Any

from covid_xray.cli import selection
from covid_xray.cli.console import bar
from covid_xray.data.manifest.tables import read_table
from covid_xray.data.split.groups import with_duplicates
from covid_xray.data.split.split import read_split
from covid_xray.evaluation.gate.fit import store_gate


def fit_gate(run: Path, data: Path, *, images: Path | None, part: str, rate: float) -> dict[str, Any]:
    """Fit and store the gate of a run; see `evaluation.gate.fit.store_gate`.

    Args:
        run: folder with bundle and split.csv.
        data, images: the data set of the run.
        part: val or calibration, for the thresholds.
        rate: share of good images that the gate may refuse, above 0.
    """
    split = read_split(run / "split.csv")
    everything = selection.read(data, images=images, show=False, check=False)
    manifest = everything.take(everything.table["image"].map(split).isin(["train", part]).to_numpy())
    table = read_table(run / "split.csv", required=("image", "split"))
    if "group" in table:
        manifest = with_duplicates(manifest, table)
    with bar("gate") as progress:
        return store_gate(run / "bundle", manifest, split, part=part, rate=rate, progress=progress)
