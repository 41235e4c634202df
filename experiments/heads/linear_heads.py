"""Fit linear heads on frozen ImageNet features, and judge them on left-out hospitals and on known sources.

    python -m experiments.heads.linear_heads --data FOLDER --lungs RUN -o OUT [ROW...]     (ROW: part of a name)

The folds are those of network_grid.py; features come from features.py, methods from methods.py and robust.py, rows from
rows.py. Every head is also scored on pictures with hidden lungs, and the head of all sources on the validation and
calibration parts. The test part is not used as such. A row in OUT/heads.json is not run again.
"""

import argparse
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import f1_score, roc_auc_score

from experiments.heads.methods import Head
from experiments.heads.rows import ROWS, Row
from experiments.network_grid import AUXILIARY, CLASSES, folds, parts, read_views, study

NOT_JUDGED = ("nothing-seen", "pcr-negative")  # doubtful covid labels are not scored
ROUNDS = 1000


@dataclass(frozen=True)
class Study:
    """The radiographs, their parts, and their features by name."""

    table: pd.DataFrame
    part: np.ndarray
    folder: Path

    def features(self, name: str) -> np.ndarray:
        """Load N x D features; `a+b` concatenates, `name:3-9` takes columns."""
        if "+" in name:
            return np.concatenate([self.features(each) for each in name.split("+")], axis=1)
        file, _, columns = name.partition(":")
        found = np.load(self.folder / f"{file}.npy", mmap_mode="r")
        return np.asarray(found[:, slice(*map(int, columns.split("-")))] if columns else found)


def mean_features(study_: Study, names: tuple[str, ...]) -> np.ndarray:
    """Average the features of the views that an image is judged by."""
    return np.asarray(sum(study_.features(name) for name in names) / len(names))


def fit_row(row: Row, study_: Study, learn: np.ndarray) -> Head:
    """Fit the head of a row on the radiographs `learn` and their altered copies."""
    labels, hospitals = (study_.table[key].to_numpy()[learn].astype(str) for key in ("label", "hospital"))
    x = np.concatenate([study_.features(name)[learn] for name in row.learns])
    copies = len(row.learns)
    more = {"hidden": mean_features(study_, row.hidden)[learn]} if row.blind else {}
    if row.corners:
        more["cornered"] = study_.features("corners")[learn]
    return row.fit(x, np.tile(labels, copies), np.tile(hospitals, copies), **more)


def score_left_out(row: Row, study_: Study) -> list[dict[str, Any]]:
    """Compute the AUROC of covid against normal on each left-out pair, with the lungs in view and hidden."""
    table = study_.table
    labels, hospitals = table["label"].to_numpy(), table["hospital"].to_numpy()
    seen = mean_features(study_, row.asks)
    without = mean_features(study_, row.hidden) if row.hidden else None
    wanted, rows = (*CLASSES, *(AUXILIARY if row.auxiliary else ())), []
    for name, (others, answer) in folds(table).items():
        covid, normal = name.split("+")
        learn = others[np.isin(labels[others], wanted)]
        asked = ((hospitals == covid) & (labels == "covid")) | ((hospitals == normal) & (labels == "normal"))
        asked &= ~table["reason"].isin(NOT_JUDGED).to_numpy()
        test = answer[asked[answer]]
        head = fit_row(row, study_, learn)
        truth, p = labels[test] == "covid", score(head(seen[test]))
        low, high = interval(truth, p, table["person"].to_numpy()[test])
        blind = None if without is None else float(roc_auc_score(truth, score(head(without[test]))))
        rows.append({"fold": name, "trained": len(learn), "covid": int(truth.sum()), "normal": int((~truth).sum()),
                     "auroc": float(roc_auc_score(truth, p)), "low": low, "high": high, "auroc_hidden": blind,
                     "normals_called_at_90": float((p[~truth] >= np.quantile(p[truth], 0.1)).mean())})  # fmt: skip
    return rows


def score(logits: np.ndarray) -> np.ndarray:
    """Compute log odds of covid against normal."""
    return np.asarray(logits[:, 0] - logits[:, 1])


def interval(truth: np.ndarray, p: np.ndarray, people: np.ndarray) -> tuple[float, float]:
    """Bootstrap a 95 % interval over people."""
    person = np.unique(people, return_inverse=True)[1]
    count = person.max() + 1
    # wins[a, b]: how often a covid image of person a scores above a normal image of person b
    wins = (p[truth][:, None] > p[~truth]) + 0.5 * (p[truth][:, None] == p[~truth])
    first, second = np.eye(count, dtype=np.float32)[person[truth]], np.eye(count, dtype=np.float32)[person[~truth]]
    matrix = first.T @ wins.astype(np.float32) @ second
    drawn = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), ROUNDS).astype(np.float32)
    above = np.einsum("ra,ra->r", drawn @ matrix, drawn)
    values = above / ((drawn @ first.sum(axis=0)) * (drawn @ second.sum(axis=0)))
    return float(np.quantile(values, 0.025)), float(np.quantile(values, 0.975))


def score_known_sources(row: Row, study_: Study) -> dict[str, Any]:
    """Compute macro-F1 on validation and calibration images of known sources, also with hidden lungs."""
    table, part = study_.table, study_.part
    labels, hospitals = table["label"].to_numpy(), table["hospital"].to_numpy()
    learn, test = part == "train", np.flatnonzero(np.isin(part, ["val", "calibration"]))
    if row.auxiliary:
        held = set(table["person"][np.isin(part, ["val", "calibration", "test"])])
        free = (table["reason"] == "").to_numpy() & ~table["person"].isin(held).to_numpy()
        learn = learn | (np.isin(labels, AUXILIARY) & free)
    head = fit_row(row, study_, np.flatnonzero(learn))
    truth = np.array([CLASSES.index(label) for label in labels[test]])
    first, adults = head(mean_features(study_, row.asks)[test]).argmax(axis=1), hospitals[test] == "nih"
    blind = head(mean_features(study_, row.hidden)[test]).argmax(axis=1) if row.hidden else None
    black = head(study_.features("corners")[test]).argmax(axis=1) if row.asks == ("whole",) else None
    return {"macro_f1": float(f1_score(truth, first, average="macro")),
            "macro_f1_corners": None if black is None else float(f1_score(truth, black, average="macro")),
            "macro_f1_hidden": None if blind is None else float(f1_score(truth, blind, average="macro")),
            "nih_called_covid": float((first[adults] == 0).mean()), "nih": int(adults.sum())}  # fmt: skip


def open_study(chosen: argparse.Namespace) -> Study:
    """Open the study, with the pictures of network_grid.py in OUT and the features of features.py."""
    table = study(chosen.data, chosen.duplicates)
    if not (chosen.out / "crop_hidden.npy").exists():
        read_views(chosen.data, chosen.lungs, table["image"].tolist(), chosen.out, os.cpu_count() or 1)
    return Study(table, parts(table), chosen.out / "features")


def main() -> None:
    """Write OUT/heads.json; a row whose features are missing is skipped with a message."""
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--lungs", type=Path, required=True)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--duplicates", type=Path, default=Path("docs/results/cxr-duplicates.csv"))
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    study_, path = open_study(chosen), chosen.out / "heads.json"
    results = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    done, order = {facts["name"] for facts in results}, {row.name: place for place, row in enumerate(ROWS)}
    for row in ROWS:
        if row.name in done or (chosen.names and not any(part in row.name for part in chosen.names)):
            continue
        started = time.time()
        try:
            facts = {
                "name": row.name,
                "family": row.family,
                "folds": score_left_out(row, study_),
                **score_known_sources(row, study_),
            }
        except FileNotFoundError as error:
            print(f"{row.name}: no features yet ({Path(error.filename).stem})", flush=True)
            continue
        results = sorted([*results, facts], key=lambda it: order.get(it["name"], len(order)))
        values = [fold["auroc"] for fold in facts["folds"]]
        print(f"{row.name:58} {' '.join(f'{v:.3f}' for v in values)} worst {min(values):.3f} mean "
              f"{np.mean(values):.3f} macro-F1 {facts['macro_f1']:.3f} nih {facts['nih_called_covid']:.3f} hidden "
              f"{facts['macro_f1_hidden'] or np.nan:.3f} {time.time() - started:.0f} s", flush=True)  # fmt: skip
        path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
