"""Heads on ImageNet's features as they are: what they see, how strongly they are held back, on hospitals left out.

usage: python benchmarks/linear_heads.py --data FOLDER --lungs RUN -o OUT

The six folds of network_grid.py. Each head is the house's probe: logistic regression on the standardised embedding of
EfficientNet-Lite0, images weighed as `training.sampling.shares` draws them. Beside every score the same heads on
pictures whose lungs are hidden; and the heads of all sources on the validation and calibration parts.
"""

import argparse
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score, roc_auc_score
from sklearn.preprocessing import StandardScaler

from network_grid import CLASSES, folds, read_views, study

STRENGTHS = (1e-2, 3e-3, 1e-3, 3e-4, 1e-4)
VIEWS = {"whole": "whole_hidden", "crop": "crop_hidden", "only": "crop_hidden"}
NOT_JUDGED = ("nothing-seen", "pcr-negative")  # covid by another's word: left out of the answers
ROUNDS = 500


def embed(views: Path, *, batch: int = 64) -> dict[str, np.ndarray]:
    """View -> N x 1280, the embedding that the network that ships begins with."""
    import keras

    from covid_xray.config import Training
    from covid_xray.models import zoo

    model = zoo.build(Training(model="efficientnet_lite0", weights="imagenet"), len(CLASSES))
    trunk = keras.Model(model.input, model.get_layer("pool").output)
    found = {}
    for view in sorted({*VIEWS, *VIEWS.values()}):
        path = views / f"embedding_{view}.npy"
        if not path.exists():
            pixels = np.load(views / f"{view}.npy", mmap_mode="r")
            parts = [np.asarray(trunk.predict_on_batch(pixels[i : i + batch, ..., None].astype(np.float32)))
                     for i in range(0, len(pixels), batch)]  # fmt: skip
            np.save(path, np.concatenate(parts))
        found[view] = np.load(path)
        print(f"embedded {view}", flush=True)
    return found


def head(features: np.ndarray, labels: np.ndarray, hospitals: np.ndarray, strength: float) -> Any:
    """A function from embeddings to N x 3 probabilities in the order of CLASSES; a class that is missing gets 0."""
    from covid_xray.training.sampling import group_numbers, shares

    codes = np.array([CLASSES.index(label) for label in labels])
    weight = shares(group_numbers(codes.tolist(), hospitals.tolist()), codes)
    scaler = StandardScaler().fit(features)
    fitted = LogisticRegression(C=strength, max_iter=200)
    fitted.fit(scaler.transform(features), codes, sample_weight=weight / weight.mean())

    def answer(x: np.ndarray) -> np.ndarray:
        found = np.zeros((len(x), len(CLASSES)))
        found[:, fitted.classes_] = fitted.predict_proba(scaler.transform(x))
        return found

    return answer


def left_out(table: pd.DataFrame, seen: np.ndarray, without: np.ndarray, strength: float) -> list[dict[str, Any]]:
    """AUROC of covid against normal on each pair of sources that was left out, with and without the lungs."""
    labels, hospitals = table["label"].to_numpy(), table["hospital"].to_numpy()
    rows = []
    for name, (others, answer) in folds(table).items():
        covid, normal = name.split("+")
        learn = others[np.isin(labels[others], CLASSES)]
        asked = ((hospitals == covid) & (labels == "covid")) | ((hospitals == normal) & (labels == "normal"))
        asked &= ~table["reason"].isin(NOT_JUDGED).to_numpy()
        test = answer[asked[answer]]
        answer_of = head(seen[learn], labels[learn], hospitals[learn], strength)
        truth, p, blind = labels[test] == "covid", score(answer_of(seen[test])), score(answer_of(without[test]))
        low, high = interval(truth, p, table["person"].to_numpy()[test])
        cut = np.quantile(p[truth], 0.1)
        rows.append({"fold": name, "trained": len(learn), "covid": int(truth.sum()), "normal": int((~truth).sum()),
                     "auroc": float(roc_auc_score(truth, p)), "low": low, "high": high,
                     "auroc_hidden": float(roc_auc_score(truth, blind)),
                     "normals_called_at_90": float((p[~truth] >= cut).mean())})  # fmt: skip
    return rows


def score(probabilities: np.ndarray) -> np.ndarray:
    """Log odds of covid against normal."""
    logarithms = np.log(probabilities.clip(1e-9))
    return logarithms[:, 0] - logarithms[:, 1]


def interval(truth: np.ndarray, p: np.ndarray, people: np.ndarray) -> tuple[float, float]:
    """95 % over people, drawn with replacement."""
    random = np.random.default_rng(0)
    groups = [np.flatnonzero(people == person) for person in np.unique(people)]
    draws = []
    for _ in range(ROUNDS):
        rows = np.concatenate([groups[i] for i in random.integers(0, len(groups), len(groups))])
        if 0 < truth[rows].sum() < len(rows):
            draws.append(roc_auc_score(truth[rows], p[rows]))
    return float(np.quantile(draws, 0.025)), float(np.quantile(draws, 0.975))


def known(table: pd.DataFrame, curated: pd.DataFrame, seen: np.ndarray, without: np.ndarray, strength: float) -> Any:
    """Macro-F1 on validation and calibration images of the sources that were learned from, and with lungs hidden."""
    part = table["image"].map(curated.set_index("image")["split"]).fillna("").to_numpy()
    labels, hospitals = table["label"].to_numpy(), table["hospital"].to_numpy()
    learn, test = np.flatnonzero(part == "train"), np.flatnonzero(np.isin(part, ["val", "calibration"]))
    answer_of = head(seen[learn], labels[learn], hospitals[learn], strength)
    truth = np.array([CLASSES.index(label) for label in labels[test]])
    first, blind = answer_of(seen[test]).argmax(axis=1), answer_of(without[test]).argmax(axis=1)
    adults = hospitals[test] == "nih"
    return {"macro_f1": float(f1_score(truth, first, average="macro")),
            "macro_f1_hidden": float(f1_score(truth, blind, average="macro")),
            "nih_called_covid": float((first[adults] == 0).mean()), "nih": int(adults.sum())}  # fmt: skip


def main() -> None:
    """Write OUT/heads.json."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--lungs", type=Path, required=True)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--duplicates", type=Path, default=Path("docs/results/cxr-duplicates.csv"))
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    table = study(chosen.data, chosen.duplicates)
    if not (chosen.out / "crop_hidden.npy").exists():
        read_views(chosen.data, chosen.lungs, table["image"].tolist(), chosen.out, os.cpu_count() or 1)
    embeddings = embed(chosen.out)
    from curate_cxr import curate

    from covid_xray.data.groups import with_duplicates
    from covid_xray.data.manifest import read_manifest

    curated, _ = curate(with_duplicates(read_manifest(chosen.data), pd.read_csv(chosen.duplicates, dtype=str)))
    results = []
    for view, blind in VIEWS.items():
        for strength in STRENGTHS:
            seen, without = embeddings[view], embeddings[blind]
            rows = left_out(table, seen, without, strength)
            facts = {"view": view, "C": strength, "folds": rows, **known(table, curated, seen, without, strength)}
            results.append(facts)
            values = [row["auroc"] for row in rows]
            print(f"{view} C={strength:g} worst {min(values):.3f} mean {np.mean(values):.3f} "
                  f"macro-F1 {facts['macro_f1']:.3f} hidden {facts['macro_f1_hidden']:.3f}", flush=True)  # fmt: skip
            (chosen.out / "heads.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
