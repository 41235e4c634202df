"""The gate's part of `covid-xray calibrate`: a run and its data in, a stored gate and a summary out."""

from pathlib import Path
from typing import Any

from covid_xray.bundle.bundle import record
from covid_xray.bundle.predictor import Predictor
from covid_xray.cli import selection
from covid_xray.cli.console import bar
from covid_xray.data.groups import with_duplicates
from covid_xray.data.split import read_split
from covid_xray.data.tables import read_table
from covid_xray.errors import InputRefused
from covid_xray.evaluation.gate_fit import gate_of_run


def store_gate(run: Path, data: Path, *, images: Path | None, part: str, rate: float) -> dict[str, Any]:
    """Fit the gate on the run's training images and record it in its bundle.

    Args:
        run: folder with bundle and split.csv.
        data, images: of the run.
        part: val or calibration, for the thresholds.
        rate: of good images that may be refused, above 0.

    Returns:
        What `summary` tells: rate, images and refused, or `note` where no gate could be made and none was stored.
    """
    split = read_split(run / "split.csv")
    everything = selection.read(data, images=images, show=False, check=False)
    manifest = everything.take(everything.table["image"].map(split).isin(["train", part]).to_numpy())
    table = read_table(run / "split.csv", required=("image", "split"))
    if "group" in table:
        manifest = with_duplicates(manifest, table)
    try:
        with bar("gate") as progress:
            facts = gate_of_run(Predictor(run / "bundle"), manifest, split, part=part, rate=rate, progress=progress)
    except InputRefused as error:
        if error.code != "gate-too-few":
            raise
        return {"note": f"no gate was stored: {error.message}"}
    record(run / "bundle", gate=facts)
    return {name: facts[name] for name in ("rate", "images", "refused")}


def summary(told: dict[str, Any]) -> str:
    """One sentence for people."""
    if "note" in told:
        return str(told["note"])
    shares = [f"{share:.1%} ({name})" for name, share in told["refused"].items() if share is not None]
    return (
        f"gate from {told['images']['train']:,} training images: refuses {' and '.join(shares)} of good images, "
        f"at most {told['rate']:.1%} asked for"
    )
