"""Make the table that the shipped network is trained from: which public radiograph is used for which part, and why not.

    python scripts/curate_cxr.py FOLDER_OF_THE_RADIOGRAPHS TABLE.csv FACTS.json

The folder holds `cxr` and `more`, each with a metadata.csv. Labels: covid, normal, virus, and `other` for every other
disease of the lung (bacterial pneumonia, pneumonia of no stated cause, tuberculosis ...).

The rules were decided on training images only. An image that breaks one is left out of the parts named:
    two-labels    one radiograph with two labels                                every part
    misfit        CT scouts, a shoulder, an upside-down radiograph              every part
    copied-normal "normal" of ieee8023: mostly radiographs of covid patients    every part
    licence       none stated, or no derivatives allowed                        all but test
    nothing-seen  covid that shows nothing abnormal, according to its collectors all but test
    pcr-negative  covid with a negative PCR test                                all but test
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from covid_xray.data.manifest.combine import combine
from covid_xray.data.manifest.licenses import allows_derivatives
from covid_xray.data.manifest.manifest import Manifest, read_manifest
from covid_xray.data.split.groups import COPIES, groups, with_duplicates
from covid_xray.data.split.split import make_split

CLASSES = ("covid", "normal", "virus", "other")
OTHER = ("bacterial", "pneumonia", "other")
MISFITS = ("cxnet/040", "cxnet/041", "cxnet/042", "cxnet/445", "darkcovidnet/00003490_011")
EVERYWHERE = ("two-labels", "misfit", "copied-normal")
FRACTIONS = {"val_fraction": 0.10, "calibration_fraction": 0.15, "test_fraction": 0.20}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("table", type=Path)
    parser.add_argument("facts", type=Path)
    parser.add_argument("--duplicates", type=Path, default=Path("docs/results/cxr-duplicates.csv"))
    chosen = parser.parse_args()
    cxr = with_duplicates(read_manifest(chosen.data / "cxr"), pd.read_csv(chosen.duplicates, dtype=str))
    manifest = combine([cxr, read_manifest(chosen.data / "more")])
    manifest = replace(manifest, table=manifest.table.assign(label=manifest.table["label"].replace(OTHER, "other")))
    table, facts = curate(manifest)
    table.to_csv(chosen.table, index=False)
    chosen.facts.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(facts["parts"], indent=1))


def curate(manifest: Manifest, *, seed: int = 0) -> tuple[pd.DataFrame, dict]:
    """Return the used rows, with `split` and the hospital as `source`, and counts of what was left out and why."""
    reason = reasons(manifest)
    rows = manifest.table.assign(source=hospitals(manifest.table), reason=reason)
    usable = (rows["label"].isin(CLASSES) & ~reason.isin(EVERYWHERE)).to_numpy()
    kept = replace(manifest.take(usable), notes=())
    # Stratified by hospital and class, so that the calibration part holds every source.
    strata = kept.table.assign(label=hospitals(kept.table) + ":" + kept.table["label"])
    split = make_split(replace(kept, table=strata), seed=seed, **FRACTIONS)
    rows = rows[usable].assign(split=split.reindex(rows[usable]["image"]).to_numpy())
    left_out = (rows["reason"] != "") & (rows["split"] != "test")
    used = rows[~left_out].drop(columns="reason")
    count = lambda frame, by: frame.groupby(by).size().to_dict()  # noqa: E731
    facts = {
        "left_out_of_every_part": count(manifest.table.assign(reason=reason)[reason.isin(EVERYWHERE)], "reason"),
        "left_out_of_all_but_test": count(rows[left_out], "reason"),
        "parts": {part: {" ".join(k): n for k, n in count(frame, ["source", "label"]).items()}
                  for part, frame in used.groupby("split")},
        "licences_in_training": count(used[used["split"] == "train"], "license"),
    }  # fmt: skip
    return used, facts


def reasons(manifest: Manifest) -> pd.Series:
    """Return the first rule that each image breaks; "" for none."""
    table = manifest.table
    radiograph = groups(manifest, by=COPIES).loc[table["image"]].to_numpy()
    labels = table.groupby(radiograph)["label"].transform("nunique")
    stem = table["image"].str.replace(r"^cxr/images/|\.\w+$", "", regex=True)
    broken = {
        "two-labels": labels > 1,
        "misfit": stem.isin(MISFITS),
        "copied-normal": (table["source"] == "ieee8023") & (table["label"] == "normal"),
        # "unclear" in both: the collectors of COVID-CXNet state CC BY 4.0, and the Pakistani collection is published under
        # it; we take them at that, and say so in the model card.
        "licence": ~table["license"].map(allows_derivatives) & ~table["source"].isin(["cxnet", "pakistan"]),
        "nothing-seen": table["finding"].str.contains("nothing abnormal"),
        "pcr-negative": table["finding"].str.contains("PCR negative"),
    }
    return pd.Series(np.select(list(broken.values()), list(broken), default=""), index=table.index)


def hospitals(table: pd.DataFrame) -> pd.Series:
    """Return the hospital of each image: darkcovidnet consists of NIH and of ieee8023."""
    covid = table["label"] == "covid"
    dark = table["source"] == "darkcovidnet"
    return table["source"].mask(dark & ~covid, "nih").mask(dark & covid, "ieee8023")


if __name__ == "__main__":
    main()
