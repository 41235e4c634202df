"""Measure the lung network that ships: Dice on held-out images, by kind of mask, by view, and on white lungs.

    python -m experiments.lungs --data DIR [--sheets FOLDER]

DIR holds `cxr` and `more`. The split of runs/lungs.sh is repeated and checked against the counts in the bundle; nothing
is trained. With --sheets, contact sheets of 48 radiographs of every source are written, to look at.
"""

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from benchmarks._support.results import RESULTS, ROOT, markdown_table, write_results
from covid_xray.bundle.lung_network_folder import read_network
from covid_xray.cli import selection
from covid_xray.data.split.groups import groups
from covid_xray.data.split.held_out import forbids_derivatives, held_out
from covid_xray.evaluation.audit.lung_masks import mask_files
from covid_xray.evaluation.metrics.intervals import group_codes, percentiles, resampled_sums
from covid_xray.images.decode import decode
from covid_xray.inference.view import open_lungs

COPIES = RESULTS / "cxr-duplicates.csv"
BUNDLE = ROOT / "src" / "covid_xray" / "bundle" / "default"
WHITE = 0.1  # share of the scored images that count as white lungs: those with the highest Brixia sum
SHEET = 48


def main() -> None:
    """Measure and write docs/results/lungs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sheets", type=Path)
    chosen = parser.parse_args()
    table = test_images(chosen.data)
    dice, plausible = score(table, chosen.data / "cxr")
    facts = {
        "bundle": read_network(BUNDLE).facts["sha256"],
        "implausible": int((~plausible).sum()),
        "lowest": float(dice.min()),
        "groups": {name: mean(dice[rows], table["person"].to_numpy()[rows]) for name, rows in by_group(table).items()},
    }
    command = "python -m experiments.lungs --data DATA"
    write_results("lungs", facts, page(facts, len(table)), title="The lung network", command=command, note=NOTE)
    if chosen.sheets:
        sheets(chosen.data, chosen.sheets)


def test_images(data: Path) -> pd.DataFrame:
    """Return the test part of runs/lungs.sh, with the kind and file of each mask, Brixia sum and person."""
    manifest = selection.read(data / "cxr", duplicates=COPIES, show=False, check=False)
    files = mask_files(manifest.table["image"].tolist(), data / "cxr" / "masks")
    reviewed = mask_files(manifest.table["image"].tolist(), data / "more" / "masks")
    masked = selection.check_rows(manifest.take(sorted({**files, **reviewed})))
    part = held_out(masked, share=0.2, seed=0, test_only=forbids_derivatives(masked)).reindex(masked.table["image"])
    counts = masked.table["label"][(part == "train").to_numpy()].value_counts().to_dict()
    if counts != read_network(BUNDLE).facts["training_data"]["images"]["train"]:
        raise SystemExit("These are not the images or the split that the network was trained on.")
    brixia = pd.read_csv(data / "more" / "brixia.csv").set_index("image")[["S-Global", "J-Global"]].mean(axis=1)
    table = masked.table.assign(
        mask=[str(reviewed.get(image) or files[image]) for image in masked.table["image"]],
        kind=["reviewed by people" if image in reviewed else "drawn by a model" for image in masked.table["image"]],
        brixia=brixia.reindex(masked.table["image"]).to_numpy(),
        person=groups(masked).to_numpy(),
    )
    return table[(part == "test").to_numpy()].reset_index(drop=True)


def score(table: pd.DataFrame, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Compute Dice of every image, and whether its lungs are plausible."""
    finder = open_lungs(read_network(BUNDLE))
    scores, plausible = [], []
    for row in table.itertuples():
        truth, found = np.asarray(Image.open(row.mask).convert("L")) > 127, finder.find(decode(folder / row.image))
        mask = found.at_size(*truth.shape)
        scores.append(2 * float((mask & truth).sum()) / float(mask.sum() + truth.sum()))
        plausible.append(found.plausible)
    return np.array(scores), np.array(plausible)


def by_group(table: pd.DataFrame) -> dict[str, np.ndarray]:
    """Name the rows of each group that has a figure."""
    found = {"all": np.ones(len(table), bool)}
    found |= {f"mask {kind}": (table["kind"] == kind).to_numpy() for kind in sorted(set(table["kind"]))}
    found |= {f"view {view}": (table["view"] == view).to_numpy() for view in sorted(set(table["view"]) - {""})}
    limit = table["brixia"].dropna().quantile(1 - WHITE)
    return {**found, f"white lungs (Brixia {limit:g} or more)": (table["brixia"] >= limit).to_numpy()}


def mean(values: np.ndarray, people: np.ndarray) -> dict:
    """Compute the mean over images with its interval over patients."""
    count = int(group_codes(people, count=len(values)).max()) + 1
    sums = resampled_sums(np.column_stack([values, np.ones_like(values)]), groups=people, rounds=2000)
    low, high = percentiles(sums[:, 0] / sums[:, 1], count=count) if count > 2 else (None, None)
    return {"value": float(values.mean()), "ci_low": low, "ci_high": high, "n": len(values), "patients": count}


def page(facts: dict, images: int) -> str:
    """Format the table."""
    interval = lambda it: "-" if it["ci_low"] is None else f"{it['ci_low']:.3f} .. {it['ci_high']:.3f}"  # noqa: E731
    rows = [(name, it["n"], it["patients"], f"{it['value']:.3f}", interval(it)) for name, it in facts["groups"].items()]
    table = markdown_table(("held-out images", "images", "patients", "mean Dice", "95 % interval"), rows)
    return f"{table}\n\nLowest {facts['lowest']:.3f}; {facts['implausible']} of {images} implausible."


def sheets(data: Path, folder: Path) -> None:
    """Write contact sheets of every source with `covid-xray lungs`."""
    for source in sorted((data / "cxr" / "images").iterdir()) + sorted((data / "more" / "images").iterdir()):
        images = sorted(source.iterdir())
        rows = np.random.default_rng(6).choice(len(images), min(SHEET, len(images)), replace=False)
        names = [str(images[row]) for row in rows]
        command = [sys.executable, "-m", "covid_xray", "lungs", str(BUNDLE), *names, "-o", str(folder / source.name)]
        subprocess.run([*command, "--sheets-only"], check=True)


NOTE = """\
Dice measures agreement with masks, of which most were drawn by a program and reviewed by people (V7 Labs, CC BY 4.0:
whole lungs, without the part behind the heart), and a few were drawn by a model (Selvan and others 2020,
arXiv:2005.10052: another outline, and the bedside radiographs that nobody reviewed). No radiologist drew them. Where an
image has both, the reviewed mask counts. The split is that of runs/lungs.sh, repeated and checked against the bundle;
images whose licence forbids derivatives, or that state none, only test. Intervals resample patients and copies of a
radiograph together, 2,000 rounds. White lungs are the tenth of the held-out images with the highest Brixia severity."""

if __name__ == "__main__":
    main()
