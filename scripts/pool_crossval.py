"""Plan a cross-validation whose networks are trained elsewhere, and pool their predictions.

    python scripts/pool_crossval.py plan FOLDER runs/x/image --where source=darkcovidnet --group image
    ... train each fold on its `train` rows, choose the epoch on `val`, predict `held` ...
    python scripts/pool_crossval.py pool FOLDER runs/x/image --where source=darkcovidnet --group image \\
        --config recipe.yaml --made made.json answers/fold-*.csv

`plan` writes the folds that `covid-xray crossval` would make: folds.csv, and roles.csv with one row for each image and a
column for each fold (train, val or held). `pool` reads CSV files with image, label and p_<class> (further columns are
ignored), recognises the fold of each by its images, refuses predictions for others, and writes what `covid-xray
crossval` writes: predictions.csv, crossval.json, crossval.md and figures/. `--made` describes how the folds were trained:
`precision`, `machine` (processor, cores), `packages`, and under `folds`, by name, `epochs`, `best_epoch` and `seconds`.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd

from covid_xray.config import Training, load
from covid_xray.data.manifest.manifest import Manifest, read_manifest, select
from covid_xray.data.manifest.tables import read_table
from covid_xray.data.split.groups import with_duplicates
from covid_xray.errors import BadManifest
from covid_xray.evaluation.predictions import FAILED, Predictions, probability_columns
from covid_xray.training.crossval.fold_pooling import pool, write_study
from covid_xray.training.crossval.folds import Fold, Protocol, plan_folds, write_folds

SUM = 1e-3  # tolerance of the sum of probabilities: files are often rounded


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("plan", "pool"))
    parser.add_argument("data", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("answers", type=Path, nargs="*", help="pool: one CSV for each fold")
    parser.add_argument("--label", action="append")
    parser.add_argument("--where", action="append", default=[])
    parser.add_argument("--duplicates", type=Path)
    parser.add_argument("--group", choices=("image", "patient"), default="patient")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--config", type=Path, help="recipe of the training: YAML or TOML")
    parser.add_argument("--set", action="append", default=[], help="a setting as key=value")
    parser.add_argument("--made", type=Path, help="how the folds were trained, as JSON")
    parser.add_argument("--rounds", type=int, default=1000)
    args = parser.parse_args()
    settings = load(Training, file=args.config, overrides=args.set)
    protocol = Protocol(folds=args.folds, group=args.group, seed=settings.seed, val_fraction=settings.val_fraction)
    manifest = chosen(args.data, args.label, args.where, args.duplicates)
    folds = plan_folds(manifest, protocol)
    args.output.mkdir(parents=True, exist_ok=True)
    if args.what == "plan":
        write_folds(args.output / "folds.csv", folds, manifest)
        roles(folds, manifest).to_csv(args.output / "roles.csv")
        return
    made = json.loads(args.made.read_text(encoding="utf-8")) if args.made else {}
    pooled(
        manifest, folds, args.answers, made, protocol=protocol, settings=settings, out=args.output, rounds=args.rounds
    )


def chosen(data: Path, labels: list[str] | None, where: list[str], duplicates: Path | None) -> Manifest:
    """Read the images of the study, every file checked, as `covid-xray crossval` selects them."""
    manifest = read_manifest(data)
    manifest = select(manifest, labels=labels, where=where) if labels or where else manifest
    return with_duplicates(manifest, read_table(duplicates, required=("group", "image"))) if duplicates else manifest


def roles(folds: list[Fold], manifest: Manifest) -> pd.DataFrame:
    """Tabulate for each image its label and, for each fold, train, val or held ("" where it is in none)."""
    table = manifest.table.set_index("image")[["label"]].copy()
    for fold in folds:
        held = pd.Series("held", index=fold.held.table["image"])
        table[f"fold_{fold.name}"] = pd.concat([fold.split, held]).reindex(table.index).fillna("")
    return table


def pooled(
    manifest: Manifest, folds: list[Fold], files: list[Path], made: dict, *,
    protocol: Protocol, settings: Training, out: Path, rounds: int,
) -> dict:  # fmt: skip
    """Write the study of the answers in `files`; returns crossval.json.

    Raises:
        BadManifest: a file is of no fold, or answers something else than what its fold holds out.
    """
    answers: dict[str, Predictions] = {}
    for path in files:
        fold, found = read_answers(path, folds)
        if fold.name in answers:
            raise BadManifest(
                f"Two files answer fold {fold.name}; the second is {path.name}. Give one file for each fold."
            )
        answers[fold.name] = found
    missing = [fold.name for fold in folds if fold.name not in answers]
    if missing:
        raise BadManifest(f"No file answers fold {', '.join(missing)}. Give one file for each fold.")
    write_folds(out / "folds.csv", folds, manifest)
    predictions = pool([answers[fold.name] for fold in folds], folds, manifest)
    records = [record(fold, answers[fold.name], made) for fold in folds]
    return write_study(
        predictions, records, manifest, folds=folds, protocol=protocol, settings=settings, out=out, rounds=rounds
    )


def read_answers(path: Path, folds: list[Fold]) -> tuple[Fold, Predictions]:
    """Read the predictions of one file; return them with the fold that holds out exactly its images. Raises `BadManifest`."""
    table = read_table(path, required=("image", "label"))
    fold = next((fold for fold in folds if set(fold.held.table["image"]) == set(table["image"])), None)
    if fold is None:
        best = max(folds, key=lambda fold: len(set(fold.held.table["image"]) & set(table["image"])))
        shared = len(set(best.held.table["image"]) & set(table["image"]))
        raise BadManifest(
            f"{path.name} holds the images of no fold: {len(table)} images, {shared} of them in fold {best.name}, which "
            f"holds out {len(best.held.table)}. Give the predictions of exactly the images that a fold holds out."
        )
    named = fold.held.table.set_index("image")["label"].loc[table["image"]].to_numpy()
    if table["image"].duplicated().any() or (named != table["label"].to_numpy()).any():
        raise BadManifest(f"{path.name} has an image twice or with another label than the table. Give each image once.")
    columns = probability_columns(fold.classes)
    absent = [name for name in columns if name not in table]
    if absent:
        raise BadManifest(f"{path.name} has no column {', '.join(absent)}. It needs {', '.join(columns)}.")
    p = table[columns].astype(float).to_numpy()
    sums = p.sum(axis=1)
    if not np.isfinite(p).all() or p.min() < 0 or np.abs(sums - 1).max() > SUM:
        raise BadManifest(
            f"The probabilities of a row of {path.name} do not sum to 1. Give probabilities of all classes."
        )
    p = p / sums[:, None]
    scored = pd.DataFrame({"image": table["image"], "label": table["label"]})
    scored["predicted"] = np.array(fold.classes, dtype=object)[p.argmax(axis=1)]
    scored = scored.assign(**dict(zip(columns, p.T, strict=True)), reasons="")
    rest = fold.held.table.drop(columns="label")
    scored = scored.merge(rest, on="image", validate="one_to_one")
    return fold, Predictions(scored, fold.classes, pd.DataFrame(columns=list(FAILED), dtype=str))


def record(fold: Fold, found: Predictions, made: dict) -> dict:
    """Return the facts of fold.json for a fold, with those of `made`."""
    own = made.get("folds", {}).get(fold.name, {})
    return {
        "name": fold.name,
        "problem": fold.problem,
        "classes": list(fold.classes),
        "images": {"train": int((fold.split == "train").sum()), "val": int((fold.split == "val").sum())},
        "held_out": len(fold.held.table),
        "scored": len(found.table),
        "set_aside": fold.set_aside,
        "leaking": fold.leaking,
        "epochs": own.get("epochs"),
        "best_epoch": own.get("best_epoch", ""),
        "seconds": float(own.get("seconds", 0)),
        **{name: made.get(name) for name in ("packages", "machine", "precision")},
    }


if __name__ == "__main__":
    main()
