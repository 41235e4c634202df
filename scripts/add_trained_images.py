"""Add `trained.bin`, the list of the images that made a network, to a bundle that has none.

    python scripts/add_trained_images.py BUNDLE --data TABLE.csv --images FOLDER --split RUN/split.csv [--split ...]

`covid-xray train` writes the list by itself; this is for bundles that were trained before it did, and for means of
several runs. Each --split names a run whose images the network knows: an image that any of them trained on counts as
trained on. Files of which the table holds sha256, pixels_sha256 and fingerprint already are not decoded again when
--trust-table is given.
"""

import argparse
from pathlib import Path

import pandas as pd

from covid_xray.bundle.bundle import networks, read_facts, write_bundle
from covid_xray.bundle.trained import PARTS, Trained
from covid_xray.data.manifest.manifest import read_manifest
from covid_xray.data.split.split import read_split
from covid_xray.evaluation.trained_images import list_split


def main() -> None:
    """Write the bundle anew with its list."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="the table or folder that the runs were trained on")
    parser.add_argument("--images", type=Path, help="folder of the images that the table names")
    parser.add_argument("--split", type=Path, action="append", required=True, help="split.csv of a run; repeatable")
    parser.add_argument("--trust-table", action="store_true", help="do not decode files whose hashes the table holds")
    args = parser.parse_args()
    split = strongest_parts([read_split(path) for path in args.split])
    manifest = read_manifest(args.data, images=args.images, check=False)
    manifest = manifest.take(manifest.table["image"].isin(split.index).to_numpy())
    if not args.trust_table:
        keys = ["sha256", "pixels_sha256", "fingerprint"]
        manifest = type(manifest)(
            manifest.table.drop(columns=keys, errors="ignore"), manifest.root, manifest.quarantine
        )
    add_list(args.bundle, Trained((list_split(manifest, split),)))
    print(f"{args.bundle}: {read_facts(args.bundle)['trained']}")


def strongest_parts(splits: list[pd.Series]) -> pd.Series:
    """Return for each image of any split the part that ties it most to the network: train before val before others."""
    rank = {part: place for place, part in enumerate(PARTS)}
    rows = pd.concat(splits).rename("split").reset_index()
    order = rows["split"].map(rank).fillna(len(rank))
    return (
        rows.assign(order=order)
        .sort_values("order", kind="stable")
        .drop_duplicates("image")
        .set_index("image")["split"]
    )


def add_list(bundle: Path, trained: Trained) -> None:
    """Write a bundle anew with the list `trained` in the place of any other; its networks stay as they are."""
    parts = {**networks(bundle), "trained": trained.to_bytes()}
    write_bundle(bundle, **parts, facts={**read_facts(bundle), "trained": trained.about})


if __name__ == "__main__":
    main()
