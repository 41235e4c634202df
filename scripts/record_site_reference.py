"""Record in a bundle what hospitals are compared with, with the scores of ill patients at hospitals left out.

usage: python scripts/record_site_reference.py RUN --data TABLE --images FOLDER [--left-out RUN/hospital_out.csv ...]

`hospital_out.csv` is what `python -m experiments.hospital_out` writes into a run that never saw some hospitals: its
covid images of these hospitals show what a threshold costs at a hospital that nobody has seen.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from covid_xray.data.manifest.manifest import read_manifest
from covid_xray.data.split.split import read_split
from covid_xray.evaluation.site.reference import FEW, store_reference
from covid_xray.inference.site.correction import LEAST


def left_out_scores(files: list[Path], *, label: str = "covid") -> dict[str, np.ndarray]:
    """Return hospital to the log odds of its images of `label`, from the runs that never saw it."""
    found: dict[str, np.ndarray] = {}
    for file in files:
        table = pd.read_csv(file)
        table = table[(table["label"] == label) & table["left_out"].astype(bool) & table["ill"].notna()]
        for name, rows in table.groupby("source"):
            ill = rows["ill"].to_numpy().clip(LEAST, 1 - LEAST)
            if len(ill) >= FEW:
                found[str(name)] = np.log(ill / (1 - ill))
    return found


def main() -> None:
    """Measure the run's images and record the facts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--images", type=Path)
    parser.add_argument("--part", default="calibration")
    parser.add_argument("--left-out", type=Path, nargs="*", default=[])
    chosen = parser.parse_args()
    split = read_split(chosen.run / "split.csv")
    manifest = read_manifest(chosen.data, images=chosen.images, check=False)
    manifest = manifest.take(manifest.table["image"].isin(split.index).to_numpy())
    facts = store_reference(
        chosen.run / "bundle", manifest, split, part=chosen.part, left_out=left_out_scores(chosen.left_out) or None
    )
    for name, one in facts["healthy"].items():
        print(f"healthy {name}: {one['images']} images")
    for name, one in facts["ill"].items():
        print(f"ill {name}: {one['images']} images, log odds {one['quantiles'][20]:+.2f} in the median")


if __name__ == "__main__":
    main()
