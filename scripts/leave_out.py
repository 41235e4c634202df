"""Write a training table without some hospitals: their images, and every copy of them in other collections.

    python scripts/leave_out.py TABLE.csv SMALLER.csv [--leave SOURCE ...] [--drop SOURCE:LABEL ...] [--most-val 25]

Only the parts train and val are kept; of val at most so many images of each source and label, drawn with seed 0. With
`--calibrate` all of val and the part calibration are kept as well. `--drop` leaves out one label of a source alone.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("table", type=Path)
    parser.add_argument("smaller", type=Path)
    parser.add_argument("--leave", nargs="*", default=[])
    parser.add_argument("--drop", nargs="*", default=[])
    parser.add_argument("--calibrate", action="store_true")
    parser.add_argument("--most-val", type=int, default=25)
    chosen = parser.parse_args()
    table = pd.read_csv(chosen.table, dtype=str, keep_default_na=False)
    dropped = (table["source"] + ":" + table["label"]).isin(chosen.drop)
    most_val = None if chosen.calibrate else chosen.most_val
    leave_out(table[~dropped], chosen.leave, most_val=most_val).to_csv(chosen.smaller, index=False)


def leave_out(table: pd.DataFrame, sources: list[str], *, most_val: int | None) -> pd.DataFrame:
    """Return the rows of train and val that are neither of `sources` nor copies of their images.

    Without `most_val` all of val, and the part calibration too.
    """
    unknown = sorted(set(sources) - set(table["source"]))
    if unknown:
        raise SystemExit(
            f"No such source: {', '.join(unknown)}. The table has {', '.join(sorted(set(table['source'])))}."
        )
    left = table["source"].isin(sources)
    copies = set(table["group"][left & (table["group"] != "")])
    own = table[~left & ~table["group"].isin(copies)]
    if most_val is None:
        return own[own["split"].isin(["train", "val", "calibration"])]
    kept = own[own["split"].isin(["train", "val"])]
    val = kept[kept["split"] == "val"]
    shuffled = val.iloc[np.random.default_rng(0).permutation(len(val))]
    few = shuffled.groupby(["source", "label"]).head(most_val).index
    return kept[(kept["split"] == "train") | kept.index.isin(few)]


if __name__ == "__main__":
    main()
