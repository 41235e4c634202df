"""Show what commissioning buys at hospitals that the network never saw, and that its promise holds.

usage: python -m experiments.commission RUN ... --data FOLDER --table curated.csv

Each run is a network that never saw some hospitals (its split.csv has none of them). At each such hospital with healthy
images: 500 times, n healthy are drawn and the threshold of the site is chosen on them; how often do at most 10 % of the
remaining healthy pass it? And with 25, 50, 100 and 300 healthy: AUROC, false positives and sensitivity before and after
each way of adapting, over 20 draws. The ill are those of the hospital and covid of other hospitals left out.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import binomtest
from sklearn.metrics import roc_auc_score

from covid_xray.evaluation.report.figures import LIGHT, drawing
from covid_xray.evaluation.site.adaptation import feature_offset, site_threshold
from covid_xray.evaluation.site.reference import Healthy, linear_part, measure
from covid_xray.evaluation.site.rule import Rule, threshold_rank
from covid_xray.inference.networks.network import calibrate
from covid_xray.inference.predictor import Predictor
from covid_xray.inference.site.correction import Correction, healthy_class, log_odds
from scripts.compact_json import write_compact_json

RESULTS = Path(__file__).parents[1] / "docs" / "results"
SIZES, DRAWS, RESAMPLES = (25, 50, 100, 300), 20, 500
HEALTHY, ILL, TRAINED = 450, 200, 150  # most images of a group: at the hospital, ill, and healthy of training
LEAST_LEFT = 50  # healthy images that are left to judge by
RULE = Rule()
Array = NDArray[np.float64]
Facts = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Hospital:
    """One hospital that a network never saw: scores and features of its healthy, and of ill at hospitals left out."""

    name: str
    run: str
    healthy: Array  # log odds
    features: Array  # of the healthy, n x D
    ill: dict[str, tuple[Array, Array]]  # group to log odds and features
    target: Healthy  # of training
    weights: Array | None  # of the calibrated log odds


def choose(table: pd.DataFrame, split: pd.DataFrame) -> pd.DataFrame:
    """Return the images to measure: hospitals left out, and healthy training images."""
    part = dict(zip(split["image"], split["split"], strict=True))
    known = set(table.loc[table["image"].isin(part), "source"])
    table = table.assign(part=table["image"].map(part).fillna(""), left_out=~table["source"].isin(known))
    table = table.sample(frac=1, random_state=0)
    out = table[table["left_out"]]
    healthy = out[out["label"] == "normal"].groupby("source").head(HEALTHY)
    ill = out[out["label"] != "normal"].groupby(["source", "label"]).head(ILL)
    trained = table[(table["part"] == "train") & (table["label"] == "normal")].groupby("source").head(TRAINED)
    return pd.concat([healthy, ill, trained]).reset_index(drop=True)


def measured(run: Path, table: pd.DataFrame, data: Path) -> tuple[pd.DataFrame, dict[str, NDArray[Any]]]:
    """Return the images; and uncalibrated probabilities `p`, embeddings `e`, `well`, `temperature`, kept in the run."""
    kept = run / "commission.npz"
    chosen = choose(table, pd.read_csv(run / "split.csv", dtype=str, keep_default_na=False))
    if not kept.exists():
        predictor = Predictor(run / "bundle")
        paths = [data / image for image in chosen["image"]]
        p, e = measure(predictor, paths, progress=lambda done, total: print(f"\r{run.name} {done}/{total}", end=""))
        facts = predictor.bundle.facts
        about = {"well": facts["classes"].index(healthy_class(facts)), "temperature": facts["temperature"]}
        np.savez(kept, images=chosen["image"].to_numpy(dtype=str), p=p, e=e.astype(np.float32), **about)
    with np.load(kept) as file:
        order = pd.Series(np.arange(len(file["images"])), index=file["images"])
        rows = order.loc[chosen["image"]].to_numpy()
        found = {"p": file["p"][rows], "e": file["e"][rows].astype(np.float64)}
        return chosen, found | {name: file[name] for name in ("well", "temperature")}


def hospitals(run: Path, name: str, table: pd.DataFrame, data: Path) -> Iterator[Hospital]:
    """Yield the hospitals with healthy images that the network of `run` never saw."""
    chosen, found = measured(run, table, data)
    p, e, well, temperature = found["p"], found["e"], int(found["well"]), float(found["temperature"])
    good = np.isfinite(e).all(axis=1) & np.isfinite(p).all(axis=1)
    score = log_odds(calibrate(p, temperature=temperature), well=well)
    direction, _ = linear_part(log_odds(p[good], well=well), e[good])
    groups = chosen.assign(row=np.arange(len(chosen)))[good].groupby(["left_out", "source", "label"])["row"]
    rows = {key: value.to_numpy() for key, value in groups}
    trained = np.concatenate([value for (out, _, label), value in rows.items() if not out and label == "normal"])
    target = Healthy(len(trained), e[trained].mean(axis=0), e[trained].var(axis=0))
    for (out, source, label), own in rows.items():
        if not out or label != "normal" or len(own) < min(SIZES) + LEAST_LEFT:
            continue
        ill = {
            f"{other}, {kind}": (score[at], e[at])
            for (away, other, kind), at in rows.items()
            if away and (kind == "covid" or (other == source and kind != "normal"))
        }
        weights = None if direction is None else direction / temperature
        yield Hospital(source, name, score[own], e[own], ill, target, weights)


def promise(hospital: Hospital, size: int) -> Facts | None:
    """Return how often the promise holds over `RESAMPLES` draws of `size` healthy images."""
    rank = threshold_rank(size, false_positives=RULE.false_positives, confidence=RULE.confidence)
    if not rank or len(hospital.healthy) < size + LEAST_LEFT:
        return None
    random, kept, passed, lost = np.random.default_rng(size), [], [], []
    for _ in range(RESAMPLES):
        order = random.permutation(len(hospital.healthy))
        threshold = site_threshold(hospital.healthy[order[:size]], RULE)
        assert threshold is not None
        passed.append(float((hospital.healthy[order[size:]] > threshold).mean()))
        # The hospital is finite: the promise is about a population of which both halves are samples.
        kept.append(float((hospital.healthy > threshold).mean()) <= RULE.false_positives)
        lost.append(
            {
                name: float((scores > 0).mean() - (scores > threshold).mean())
                for name, (scores, _) in hospital.ill.items()
            }
        )
    exact = binomtest(sum(kept), RESAMPLES).proportion_ci(0.95)
    return {
        "images": size, "rank": rank, "held": float(np.mean(kept)), "held_ci": [float(exact.low), float(exact.high)],
        "false_positives_mean": float(np.mean(passed)), "false_positives_before": float((hospital.healthy > 0).mean()),
        "sensitivity_lost": {name: float(np.mean([one[name] for one in lost])) for name in hospital.ill},
    }  # fmt: skip


def ways(hospital: Hospital, drawn: NDArray[np.int64]) -> dict[str, Correction]:
    """Return the ways of adapting that the drawn healthy images allow."""
    found = {"as it ships": Correction()}
    threshold = site_threshold(hospital.healthy[drawn], RULE)
    if threshold is not None:
        found["threshold"] = Correction(threshold=threshold)
    if hospital.weights is None:
        return found
    for name, scaled in (("mean", False), ("mean and variance", True)):
        offset = feature_offset(hospital.features[drawn], hospital.target, hospital.weights, scaled=scaled)
        found[f"offset, {name}"] = offset
    return found


def curve(hospital: Hospital, size: int) -> Facts | None:
    """Return AUROC, false positives and sensitivity by each way over `DRAWS` draws of `size` healthy images."""
    if len(hospital.healthy) < size + LEAST_LEFT or not hospital.ill:
        return None
    random, rows = np.random.default_rng(1000 + size), []
    for _ in range(DRAWS):
        order = random.permutation(len(hospital.healthy))
        drawn, rest = order[:size], order[size:]
        for way, correction in ways(hospital, drawn).items():
            well = hospital.healthy[rest] + correction.offset(hospital.features[rest]) - correction.threshold
            row: Facts = {"way": way, "false positives": float((well > 0).mean())}
            for name, (scores, features) in hospital.ill.items():
                sick = scores + correction.offset(features) - correction.threshold
                truth = np.r_[np.zeros(len(well)), np.ones(len(sick))]
                row[f"AUROC, {name}"] = float(roc_auc_score(truth, np.r_[well, sick]))
                row[f"sensitivity, {name}"] = float((sick > 0).mean())
            rows.append(row)
    table = pd.DataFrame(rows)
    return {
        way: {
            name: [float(group[name].mean()), *(float(v) for v in np.quantile(group[name], [0.025, 0.975]))]
            for name in table if name != "way"
        }
        for way, group in table.groupby("way", sort=False)
    }  # fmt: skip


def study(found: list[Hospital]) -> list[Facts]:
    """Return the figures of each hospital."""
    return [
        {
            "hospital": one.name, "run": one.run, "healthy": len(one.healthy),
            "ill": {name: len(scores) for name, (scores, _) in one.ill.items()},
            "promise": [facts for size in (29, *SIZES[1:]) if (facts := promise(one, size))],
            "curve": {str(size): facts for size in SIZES if (facts := curve(one, size))},
        }
        for one in found
    ]  # fmt: skip


def main() -> None:
    """Measure, resample and write docs/results/commission."""
    from experiments.commission_page import WRITTEN, draw, page

    parser = argparse.ArgumentParser()
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--names", nargs="*", help="of the runs on the page; default: their folders")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--table", type=Path, required=True)
    chosen = parser.parse_args()
    table = pd.read_csv(chosen.table, dtype=str, keep_default_na=False)
    # The covid images of DarkCovidNet are copies of those of ieee8023.
    table = table[~(table["image"].str.contains("darkcovidnet") & (table["label"] == "covid"))]
    names = chosen.names or [run.name for run in chosen.runs]
    found = [
        one for run, name in zip(chosen.runs, names, strict=True) for one in hospitals(run, name, table, chosen.data)
    ]
    facts = study(found)
    write_compact_json(RESULTS / "commission.json", facts)
    with drawing(LIGHT):
        draw(facts).savefig(RESULTS / "commission.png", dpi=144)
        plt.close("all")
    target = RESULTS / "commission.md"
    said = target.read_text(encoding="utf-8").partition(WRITTEN)[2] if target.is_file() else "\n"
    target.write_text(page(facts) + said, encoding="utf-8")


if __name__ == "__main__":
    main()
