"""Measure networks at the hospitals that they were not trained on: what is disease, and what is hospital.

    python -m experiments.hospital_out --data FOLDER --table TABLE.csv RUN [RUN ...]

Each RUN was trained without some sources (scripts/leave_out.py). For every pair of a covid source and a source with
healthy adults that are both left out: AUROC of covid against healthy. Beside it the null: healthy of one hospital
against healthy of another, and covid against covid, which should be .50. At the carried threshold (P(ill) = .5): how
many of the healthy are answered covid or virus, how many "cannot say", how many of covid are found. Intervals: 1,000
bootstrap rounds over patients, each side by itself. RSNA and NIH are one hospital.

Where FOLDER/more/brixia.csv is there, also the rank correlation of P(ill) with the severity that two radiologists
scored (Brixia score, Signoroni and others, doi:10.1016/j.media.2021.102046) inside one source that was left out:
nothing that is constant in a source helps.
"""

import argparse
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata, spearmanr

from benchmarks._support.results import RESULTS
from covid_xray.errors import BadImage
from covid_xray.inference.predictor import Predictor
from covid_xray.inference.view import View
from scripts.compact_json import write_compact_json

ROUNDS = 1000
PASS = 0.1  # share of the healthy of a hospital that may be called ill
MOST = 250  # images of one source and label
HOSPITAL = {"rsna": "nih", "rsna-lungs": "nih"}
ADULTS = ("nih", "pakistan", "rsna")  # sources whose healthy are adults, whole pictures
Floats = NDArray[np.float64]


def score(run: Path, table: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """Return the answers to at most `MOST` images of every source and label that the run was not trained on."""
    kept = run / "hospital_out.csv"
    if kept.is_file():
        return pd.read_csv(kept)
    trained = pd.read_csv(run / "split.csv", dtype=str)
    sources = set(table.set_index("image")["source"].reindex(trained["image"]).dropna())
    left = table["split"].isin(["train", "val", "calibration"]) & ~table["source"].isin(sources)
    known = table["split"].eq("calibration") & table["source"].isin(sources)
    rows = table[left | known].sample(frac=1, random_state=0).groupby(["source", "label"]).head(MOST)
    result = rows.reset_index(drop=True).join(pd.DataFrame(list(_answers(run, [folder / i for i in rows["image"]]))))
    result = result.assign(left_out=~result["source"].isin(sources))
    columns = [
        "image",
        "source",
        "label",
        "patient_id",
        "finding",
        "left_out",
        "ill",
        "covid",
        "answer",
        "set",
        "outline",
    ]
    result[columns].to_csv(kept, index=False)
    return result[columns]


def _answers(run: Path, paths: list[Path]) -> Iterator[dict[str, Any]]:
    """Yield the answer to each image, and P(ill) for the outline of its lungs alone: one grey inside, black outside."""
    predictor = Predictor(run / "bundle")
    well = predictor.classes.index("normal")
    with ThreadPoolExecutor(1) as pool:
        for path, view in zip(paths, pool.map(lambda path: _view(predictor, path), paths), strict=True):
            if view is None:
                yield {}
                continue
            found = predictor.answers([path.name], [view])[0]
            outline = np.where(view.pixels > 0, np.uint8(128), np.uint8(0))
            hidden = 1 - float(predictor.run(outline[None])["probabilities"][0, well])
            answered = {"ill": found.ill, "covid": found.probabilities["covid"], "answer": found.label}
            yield answered | {"set": " ".join(found.prediction_set or ()), "outline": hidden}


def _view(predictor: Predictor, path: Path) -> View | None:
    try:
        return predictor.view(path)
    except BadImage:
        return None


def auroc(ill: Floats, well: Floats) -> float:
    """Return the area under the ROC curve: the share of pairs in which `ill` scores higher."""
    ranks = rankdata(np.concatenate([ill, well]))[: len(ill)].sum()
    return float((ranks - len(ill) * (len(ill) + 1) / 2) / (len(ill) * len(well)))


def figure(statistic: Callable[..., float], *sides: pd.DataFrame, column: str = "ill") -> dict[str, Any]:
    """Return a statistic of one or two groups of images with its interval over patients, and n."""
    random = np.random.default_rng(0)
    value = statistic(*(side[column].to_numpy() for side in sides))
    patients = [_patients(side, column) for side in sides]
    draws = [
        statistic(*(np.concatenate([each[i] for i in random.integers(0, len(each), len(each))]) for each in patients))
        for _ in range(ROUNDS)
    ]
    low, high = np.quantile(draws, [0.025, 0.975])
    return {"value": value, "ci_low": float(low), "ci_high": float(high), "n": sum(map(len, sides))}


def _patients(rows: pd.DataFrame, column: str) -> list[NDArray[Any]]:
    names = rows["patient_id"].where(rows["patient_id"].notna() & (rows["patient_id"] != ""), rows["image"])
    return [group.to_numpy() for _, group in rows[column].groupby(names.to_numpy())]


def share(values: NDArray[Any]) -> float:
    """Return the mean of true and false."""
    return float(values.mean())


def severity(folder: Path) -> pd.Series:
    """Read the Brixia score of each image, 0 (nothing) to 18, mean of two readers; empty without the file."""
    file = folder / "more" / "brixia.csv"
    if not file.is_file():
        return pd.Series(dtype=float)
    table = pd.read_csv(file)
    return pd.Series(table[["S-Global", "J-Global"]].mean(axis=1).to_numpy(), index="cxr/" + table["image"])


def measure(scores: pd.DataFrame, name: str, brixia: pd.Series) -> dict[str, Any]:
    """Return all figures of one run; `brixia` holds the severity of some images."""
    scores = scores.dropna(subset=["ill"])
    groups = dict(list(scores.groupby(["source", "label"])))
    left = set(scores["source"][scores["left_out"]])
    covid = sorted(s for s, label in groups if label == "covid" and s in left)
    healthy = [s for s in ADULTS if (s, "normal") in groups]
    adults_out = [s for s in healthy if s in left]
    pairs = {f"{c} against {h}": _against(groups[c, "covid"], groups[h, "normal"]) for c in covid for h in adults_out}
    others = sorted(s for s, label in groups if label == "covid" and s not in left)
    half = {f"{c} against {h}": _against(groups[c, "covid"], groups[h, "normal"]) for c in others for h in adults_out}
    nulls = {f"healthy {a} against healthy {b}": figure(auroc, groups[a, "normal"], groups[b, "normal"])
             for a in adults_out for b in healthy if HOSPITAL.get(a, a) != HOSPITAL.get(b, b)}  # fmt: skip
    nulls |= {f"covid {c} against covid {d}": figure(auroc, groups[c, "covid"], groups[d, "covid"])
              for c in covid for d, label in groups if label == "covid" and d != c}  # fmt: skip
    ill = {f"{s} {label} against its own healthy": figure(auroc, rows, groups[s, "normal"])
           for (s, label), rows in groups.items()
           if label in ("other", "virus") and s in left and (s, "normal") in groups}  # fmt: skip
    point = {f"{source} {label}": _at_threshold(rows) for (source, label), rows in groups.items() if source in left}
    known = scores[scores["left_out"] & scores["label"].isin(["covid", "normal"])]
    return {
        "run": name,
        "calibration": _calibration(known) if known["label"].nunique() == 2 else None,
        "left_out": sorted(left),
        "pairs": pairs,
        "half": half,
        "nulls": nulls,
        "ill": ill,
        "point": point,
        "severity": _severity(scores[scores["left_out"]], brixia),
    }


def _severity(rows: pd.DataFrame, brixia: pd.Series) -> dict[str, Any]:
    """Return for each source the rank correlation of P(ill), and of the outline alone, with the severity of a film."""
    scored = rows.assign(score=rows["image"].map(brixia)).dropna(subset=["score", "outline"])
    found = {}
    for source, own in scored.groupby("source"):
        values = {
            column: own.assign(pair=list(zip(own[column], own["score"], strict=True))) for column in ("ill", "outline")
        }
        found[str(source)] = {column: figure(_rank_correlation, each, column="pair") for column, each in values.items()}
    return found


def _rank_correlation(pairs: NDArray[Any]) -> float:
    return float(spearmanr(*np.array(pairs.tolist(), dtype=np.float64).T).statistic)


def _against(covid: pd.DataFrame, healthy: pd.DataFrame) -> dict[str, Any]:
    return {
        "all films": figure(auroc, covid, healthy),
        "films that show something": figure(auroc, _shows_something(covid), healthy),
        "by P(covid)": figure(auroc, covid, healthy, column="covid"),
        "outline of the lungs alone": figure(auroc, covid, healthy, column="outline"),
        "sensitivity where 10 % of the healthy there pass": figure(_sensitivity, covid, healthy),
    }


def _sensitivity(ill: Floats, well: Floats) -> float:
    """Return the share of the ill above the score that `PASS` of the healthy have."""
    return float((ill > np.quantile(well, 1 - PASS)).mean())


def _calibration(rows: pd.DataFrame) -> dict[str, Any]:
    """Return the expected calibration error of P(ill) and the coverage of the prediction sets, each with its n."""
    truth = rows.assign(
        gap=np.where(rows["label"] == "normal", 0.0, 1.0),
        value=[label in str(kept).split() for label, kept in zip(rows["label"], rows["set"], strict=True)],
    )
    return {
        "ECE of P(ill)": figure(
            _ece, truth.assign(pair=list(zip(truth["ill"], truth["gap"], strict=True))), column="pair"
        ),
        "coverage of the prediction sets": figure(share, truth, column="value"),
    }


def _ece(pairs: NDArray[Any]) -> float:
    """Return the mean gap of probability and share of ill over 10 bins of equal width, weighted by their number."""
    probability, truth = np.array(pairs.tolist(), dtype=np.float64).T
    bins = np.minimum((probability * 10).astype(int), 9)
    gaps = [abs((truth - probability)[bins == b].sum()) for b in range(10)]
    return float(sum(gaps) / len(truth))


def _at_threshold(rows: pd.DataFrame) -> dict[str, Any]:
    told = {
        "answered covid or virus": rows["answer"].isin(["covid", "virus"]),
        "answered covid": rows["answer"] == "covid",
        "cannot say": rows["answer"] == "cannot say",
        "P(ill) at or above .5": rows["ill"] >= 0.5,
    }
    return {name: figure(share, rows.assign(value=value), column="value") for name, value in told.items()}


def _shows_something(rows: pd.DataFrame) -> pd.DataFrame:
    """Leave out films that their collectors call normal; only cxnet says so."""
    return rows[~rows["finding"].fillna("").str.contains("nothing abnormal")]


def _targets(measured: list[dict[str, Any]], values: list[float]) -> list[str]:
    """Return a sentence for each target: reached or missed."""
    point = [(name, one) for run in measured for name, one in run["point"].items()]
    healthy = [one["answered covid or virus"]["value"] for name, one in point if name.endswith(" normal")]
    found = [one["answered covid"]["value"] for name, one in point if name.endswith(" covid")]
    nulls = [one["value"] for run in measured for name, one in run["nulls"].items() if name.startswith("healthy")]
    off = max(nulls, key=lambda value: abs(value - 0.5))
    rows = (
        ("Median AUROC of the pairs at least .92", np.median(values), np.median(values) >= 0.92),
        ("Worst AUROC of the pairs at least .85", min(values), min(values) >= 0.85),
        ("Nulls of the healthy between .40 and .60, farthest from .50", off, 0.4 <= off <= 0.6),
        ("At most 10 % of any healthy group answered covid or virus, worst", max(healthy), max(healthy) <= 0.1),
        ("At least .75 of covid answered covid at the carried threshold, worst", min(found), min(found) >= 0.75),
    )
    return [f"- {words}: {value:.2f}, {'reached' if ok else '**missed**'}." for words, value, ok in rows]


def page(measured: list[dict[str, Any]]) -> str:
    """Return the Markdown page."""
    show = lambda f: f"{f['value']:.2f} ({f['ci_low']:.2f} to {f['ci_high']:.2f})"  # noqa: E731
    pairs = [(one, name, figures) for one in measured for name, figures in one["pairs"].items()]
    values = [figures["all films"]["value"] for _, _, figures in pairs]
    worst = min(pairs, key=lambda row: row[2]["all films"]["value"])
    lines = [
        "# hospital_out", "", "Made by `runs/default.sh` (`python -m experiments.hospital_out`).",
        "In brackets 95 % bootstrap intervals over patients.", "",
        "**Covid against healthy adults, both at hospitals that the network never saw: "
        f"median AUROC {np.median(values):.2f}, worst {show(worst[2]['all films'])} ({worst[1]}).**", "",
        *_targets(measured, values), "",
        "| run | covid against healthy | AUROC of P(ill) | films that show something | AUROC of P(covid) "
        "| outline of the lungs alone | sensitivity where 10 % of the healthy there pass | n |",
        "|---|---|---|---|---|---|---|---|",
        *(f"| {one['run']} | {name} | {show(f['all films'])} | {show(f['films that show something'])} | "
          f"{show(f['by P(covid)'])} | {show(f['outline of the lungs alone'])} | "
          f"{show(f['sensitivity where 10 % of the healthy there pass'])} | {f['all films']['n']} |"
          for one, name, f in pairs),
        "", "Calibration and prediction sets, as carried, on covid and healthy images of hospitals left out:", "",
        "| run | ECE of P(ill) | coverage of the prediction sets | n |", "|---|---|---|---|",
        *(f"| {one['run']} | {show(c['ECE of P(ill)'])} | {show(c['coverage of the prediction sets'])} | "
          f"{c['ECE of P(ill)']['n']} |" for one in measured if (c := one["calibration"])),
        "", "Healthy at a hospital never seen, covid of a source that was trained on (its calibration part):", "",
        "| run | covid against healthy | AUROC of P(ill) | films that show something | AUROC of P(covid) | n |",
        "|---|---|---|---|---|---|",
        *(f"| {one['run']} | {name} | {show(f['all films'])} | {show(f['films that show something'])} | "
          f"{show(f['by P(covid)'])} | {f['all films']['n']} |" for one in measured for name, f in one["half"].items()),
        "", "The null: two groups with the same label from two hospitals. .50 means that the score does not tell the "
        "hospital; far from it, the figures above rest on the hospital in part.", "",
        "| run | same label, two hospitals | AUROC of P(ill) | n |", "|---|---|---|---|",
        *(f"| {one['run']} | {name} | {show(f)} | {f['n']} |" for one in measured for name, f in one["nulls"].items()),
        "", "Other illness at a hospital never seen, against the healthy of the same hospital:", "",
        "| run | illness | AUROC of P(ill) | n |", "|---|---|---|---|",
        *(f"| {one['run']} | {name} | {show(f)} | {f['n']} |" for one in measured for name, f in one["ill"].items()),
        "", "Severity inside one collection never seen: rank correlation of P(ill) with the Brixia score of two "
        "radiologists. Nothing that is constant in a collection can bring it about.", "",
        "| run | source | P(ill) | outline of the lungs alone | n |", "|---|---|---|---|---|",
        *(f"| {one['run']} | {name} | {show(f['ill'])} | {show(f['outline'])} | {f['ill']['n']} |"
          for one in measured for name, f in one["severity"].items()),
        "", "At the threshold that the network carries:", "",
        "| run | group, never seen | answered covid or virus | answered covid | cannot say | P(ill) >= .5 | n |",
        "|---|---|---|---|---|---|---|",
        *(f"| {one['run']} | {name} | {show(f['answered covid or virus'])} | {show(f['answered covid'])} | "
          f"{show(f['cannot say'])} | {show(f['P(ill) at or above .5'])} | {f['cannot say']['n']} |"
          for one in measured for name, f in one["point"].items()),
        "", "`default` is the network that ships: the mean of the weights of the three runs without Pakistan. "
        "NIH, RSNA and rsna-lungs are one hospital. The outline of the lungs alone is a picture with one grey inside "
        "the lungs and black outside: what the network makes of their shape.",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def main() -> None:
    """Score, measure and write docs/results/hospital_out."""
    parser = argparse.ArgumentParser()
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--table", type=Path, required=True)
    chosen = parser.parse_args()
    table = pd.read_csv(chosen.table, dtype=str, keep_default_na=False)
    # The covid images of DarkCovidNet are copies of those of ieee8023.
    table = table[~(table["image"].str.contains("darkcovidnet") & (table["label"] == "covid"))]
    brixia = severity(chosen.data)
    measured = [measure(score(run, table, chosen.data), run.name, brixia) for run in chosen.runs]
    write_compact_json(RESULTS / "hospital_out.json", measured)
    (RESULTS / "hospital_out.md").write_text(page(measured), encoding="utf-8")
    print(json.dumps([one["pairs"] for one in measured], indent=1))


if __name__ == "__main__":
    main()
