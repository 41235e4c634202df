"""Check the coverage of intervals, prediction sets and temperatures in 1,000 simulated studies with known truth.

Each study has 120 patients with one to four images; the images of one patient are similarly hard. The truth is the same
figure on 400,000 patients, or the parameter of the simulation.

    python -m experiments.coverage [--studies 1000] [--rounds 1000]
"""

import argparse
import sys
import time

import numpy as np
from scipy.special import softmax
from scipy.stats import binomtest

from benchmarks._support.results import RESULTS, markdown_table, write_results
from covid_xray.evaluation.metrics.calibration import fit_temperature
from covid_xray.evaluation.metrics.conformal import conformal_quantile, coverage_band
from covid_xray.evaluation.metrics.decision_curve import THRESHOLDS, decision_curve
from covid_xray.evaluation.metrics.intervals import bootstrap, proportions
from covid_xray.evaluation.metrics.metrics import compute
from covid_xray.evaluation.metrics.operating_points import OneVsRest, achieved_rates
from covid_xray.evaluation.metrics.prevalence import predictive_values, predictive_values_at
from covid_xray.inference.prediction_sets import METHODS, prediction_sets

CLASSES = ("covid", "normal")
FIGURES = ("accuracy", "balanced_accuracy", "macro_f1", "sensitivity/covid", "specificity/covid", "precision/covid",
           "auroc/covid", "auprc/covid", "brier", "nll")  # fmt: skip
CUT, SHARE, NET = 0.5, 0.05, 0.2  # threshold of the point, prevalence of its PPV, threshold of the net benefit
LEAST, MOST = 0.93, 0.97
LEVELS = (0.9, 0.95)
CALIBRATION, TESTED = 200, 500
TEMPERATURES = (0.5, 1.0, 2.0)


def main() -> None:
    """Simulate everything and write docs/results/coverage."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=1000)
    options = parser.parse_args()
    started = time.perf_counter()
    intervals = of_intervals(options.studies, options.rounds)
    sets = of_sets(options.studies)
    temperatures = of_temperatures(options.studies)
    seconds = time.perf_counter() - started
    result = {"studies": options.studies, "rounds": options.rounds, "seconds": round(seconds, 1), "goal": [LEAST, MOST],
              "intervals": intervals, "sets": sets, "temperatures": temperatures}  # fmt: skip
    write_results(
        "coverage",
        result,
        tables(result),
        title="Coverage of intervals, prediction sets and temperatures",
        command=" ".join(["python -m experiments.coverage", *sys.argv[1:]]),
        note=NOTE,
    )
    print((RESULTS / "coverage.md").read_text())


def patients(random: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Simulate a study: labels, probabilities and patients."""
    images = random.integers(1, 5, count)
    groups = np.repeat(np.arange(count), images)
    labels = np.repeat(random.integers(0, 2, count), images)
    score = 0.9 * (1 - 2 * labels) + np.repeat(random.normal(0, 1, count), images) + random.normal(0, 0.5, len(groups))
    p = 1 / (1 + np.exp(-1.5 * score))
    return labels, np.column_stack([p, 1 - p]), groups


def figures_of(labels: np.ndarray, p: np.ndarray, groups: np.ndarray, *, rounds: int, seed: int) -> dict:
    """Compute the interval (low, high) of every figure of a study."""
    found = {name: (i.low, i.high) for name, i in
             bootstrap(labels, p, CLASSES, groups=groups, rounds=rounds, seed=seed).items()}  # fmt: skip
    about = OneVsRest(p[:, 0], labels == 0, None, groups)
    at = achieved_rates(about, CUT, rounds=rounds, seed=seed)
    found |= {
        f"{side} of a point": (at[side]["ci_low"], at[side]["ci_high"]) for side in ("sensitivity", "specificity")
    }
    (row,) = predictive_values_at(about, CUT, prevalences=[SHARE], rounds=rounds, seed=seed)
    found |= {f"{side} at {SHARE:.0%}": (row[side]["ci_low"], row[side]["ci_high"]) for side in ("ppv", "npv")}
    curve, place = decision_curve(about, rounds=rounds, seed=seed), int(np.searchsorted(THRESHOLDS, NET))
    for name in ("model", "gain"):
        found[f"net benefit ({name}) at {NET:g}"] = (curve[name]["ci_low"][place], curve[name]["ci_high"][place])
    return found


def truth_of(random: np.random.Generator) -> dict[str, float]:
    """Compute the figures of the population."""
    labels, p, _ = patients(random, 400_000)
    called, positive = p[:, 0] >= CUT, labels == 0
    sensitivity, specificity = called[positive].mean(), (~called[~positive]).mean()
    ppv, npv = predictive_values(np.array([sensitivity]), np.array([specificity]), prevalence=SHARE)
    acted, odds = p[:, 0] >= NET, NET / (1 - NET)
    model = (acted & positive).mean() - (acted & ~positive).mean() * odds
    everyone = positive.mean() - (1 - positive.mean()) * odds
    return {
        **compute(labels, p, CLASSES),
        "sensitivity of a point": sensitivity, "specificity of a point": specificity,
        f"ppv at {SHARE:.0%}": ppv[0], f"npv at {SHARE:.0%}": npv[0],
        f"net benefit (model) at {NET:g}": model, f"net benefit (gain) at {NET:g}": model - max(everyone, 0),
    }  # fmt: skip


def of_intervals(studies: int, rounds: int) -> list[dict]:
    """Count how often the 95 % interval over patients covers the truth, and for accuracy also one over images."""
    random = np.random.default_rng(7)
    truth, held, by_image = truth_of(np.random.default_rng(99)), {}, 0
    for seed in range(studies):
        labels, p, groups = patients(random, 120)
        for name, (low, high) in figures_of(labels, p, groups, rounds=rounds, seed=seed).items():
            if name in FIGURES or " " in name:
                held[name] = held.get(name, 0) + (low <= truth[name] <= high)
        right = p.argmax(axis=1) == labels
        naive = proportions({"accuracy": (right, np.ones(len(right), bool))}, rounds=rounds, seed=seed)["accuracy"]
        by_image += naive.low <= truth["accuracy"] <= naive.high
    rows = [_row(name, float(truth[name]), count, studies) for name, count in held.items()]
    return [*rows, {**_row("accuracy", float(truth["accuracy"]), by_image, studies), "resampled": "images"}]


def _row(name: str, truth: float, count: int, studies: int) -> dict:
    span = binomtest(count, studies).proportion_ci(0.95, method="wilson")
    inside = bool(LEAST <= count / studies <= MOST)
    return {"figure": name, "resampled": "patients", "truth": truth, "held": count / studies,
            "low": span.low, "high": span.high, "inside": inside}  # fmt: skip


def of_sets(studies: int) -> list[dict]:
    """Measure coverage of prediction sets over many calibration and test parts, and how often a test is in its band."""
    random, found = np.random.default_rng(3), {}
    for _ in range(studies):
        labels, p = overconfident(random, CALIBRATION + TESTED)
        fit, test = slice(0, CALIBRATION), slice(CALIBRATION, None)
        for method in METHODS:
            for level in LEVELS:
                quantile = conformal_quantile(labels[fit], p[fit], coverage=level, method=method)
                kept = prediction_sets(p[test], quantile=quantile, method=method)
                hit = kept[np.arange(TESTED), labels[test]].mean()
                found.setdefault((method, level), []).append((hit, kept.sum(axis=1).mean()))
    rows = []
    for (method, level), values in found.items():
        hits, sizes = np.array(values).T
        low, high = coverage_band(TESTED, calibration=CALIBRATION, coverage=level)
        rows.append({"method": method, "coverage": level, "mean": hits.mean(), "mean_size": sizes.mean(),
                     "band": [low, high], "inside": ((hits >= low) & (hits <= high)).mean(),
                     "not_below": (hits >= low).mean()})  # fmt: skip
    return rows


def overconfident(random: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Simulate labels of three classes and an overconfident network that favours one class."""
    z = random.normal(0, 2.5, (count, 3))
    truth = softmax(z, axis=1).cumsum(axis=1)
    labels = (random.random((count, 1)) > truth).sum(axis=1).clip(max=2)
    return labels, softmax(1.3 * z + [0.3, 0, 0], axis=1)


def of_temperatures(studies: int) -> list[dict]:
    """Compare fitted temperatures with the one that was applied to the probabilities; 500 images per fit."""
    random, rows = np.random.default_rng(5), []
    for true in TEMPERATURES:
        fits = []
        for _ in range(studies):
            z = random.normal(0, 1.5, (500, 3))
            labels = (random.random((500, 1)) > softmax(z, axis=1).cumsum(axis=1)).sum(axis=1).clip(max=2)
            fits.append(fit_temperature(labels, softmax(z * true, axis=1)))
        low, middle, high = np.quantile(fits, [0.025, 0.5, 0.975])
        rows.append({"true": true, "median": middle, "low": low, "high": high})
    return rows


def tables(result: dict) -> str:
    """Format the three tables of the page."""
    first = markdown_table(
        ["figure", "resampled", "truth", "coverage of the 95 % interval", f"within {LEAST:.0%} to {MOST:.0%}"],
        [[r["figure"], r["resampled"], f"{r['truth']:.4f}", f"{r['held']:.1%}", "yes" if r["inside"] else "**no**"]
         for r in result["intervals"]],
    )  # fmt: skip
    second = markdown_table(
        ["method", "nominal", "mean coverage", "mean set size", "band of one test", "tests in band", "tests not below"],
        [[r["method"], f"{r['coverage']:.0%}", f"{r['mean']:.1%}", f"{r['mean_size']:.2f}",
          f"{r['band'][0]:.1%} to {r['band'][1]:.1%}", f"{r['inside']:.1%}", f"{r['not_below']:.1%}"]
         for r in result["sets"]],
    )  # fmt: skip
    third = markdown_table(
        ["true temperature", "median fit", "95 % of fits"],
        [
            [f"{r['true']:g}", f"{r['median']:.3f}", f"{r['low']:.3f} to {r['high']:.3f}"]
            for r in result["temperatures"]
        ],
    )
    heads = [f"## Intervals: {result['studies']:,} studies of 120 patients, {result['rounds']:,} rounds each",
             f"## Conformal sets: {CALIBRATION} calibration and {TESTED} test images, {result['studies']:,} times",
             "## Temperature: 500 images per fit"]  # fmt: skip
    return "\n\n".join(f"{head}\n\n{table}" for head, table in zip(heads, (first, second, third), strict=True))


NOTE = (
    "Resampling images instead of patients gives intervals that are too narrow: 82.2 % coverage in the last row of the "
    'first table. The gain of the model over the better of "treat all" and "treat none" is slightly below the goal: '
    "near the threshold where these two cross, it is the smaller of two differences, which a percentile bootstrap "
    "covers too seldom. APS covers more than its nominal level (it has no random step, and the last class always sums "
    "to 1), so its tests lie above the band. No figure on this page comes from radiographs."
)


if __name__ == "__main__":
    main()
