"""Measure drift monitoring on real hospitals: false alarms, power, and whether one image can tell a hospital.

    python -m experiments.drift --data FOLDER --table TABLE.csv --bundle BUNDLE --cache FOLDER

A store is commissioned on the healthy adults of one hospital (RSNA) and then fed with others: the same hospital, other
hospitals, and its own images with their processing changed (gamma, CLAHE, resampling). Images that the bundle was
trained on are left out. The cache keeps what is computed of each image; it is made again for another bundle.
"""

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import binomtest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.model_selection import cross_val_predict

from benchmarks._support.results import RESULTS
from covid_xray.images.radiograph import Radiograph
from covid_xray.inference.drift import cusum
from covid_xray.inference.drift.checks import EVERY, LIMIT, WINDOW, compare, kind_of
from covid_xray.inference.drift.reference import Observation, Reference, observe
from covid_xray.inference.finding import Finding
from covid_xray.inference.io.inputs import open_source
from covid_xray.inference.predictor import Predictor
from covid_xray.limits import Limits
from scripts.compact_json import write_compact_json

HOME = ("rsna", "normal")
OTHERS = {  # name on the page -> source and label
    "NIH, healthy (the archive that RSNA was drawn from)": ("nih", "normal"),
    "Pakistan, healthy (not in training)": ("pakistan", "normal"),
    "Hannover, covid": ("hannover", "covid"),
    "COVID-CXNet, covid": ("cxnet", "covid"),
}
AT_HOME = 400  # images; 300 of them are the reference
REFERENCE = 300
SIZES = (25, 50, 100)
UNTRAINED = ["calibration", "test", "val"]
Rows = Sequence[Observation]


def gamma(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Darken as another look-up table does."""
    return (255 * (pixels / 255.0) ** 1.3).astype(np.uint8)


def clahe(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Enhance local contrast as many vendors do."""
    return np.asarray(cv2.createCLAHE(clipLimit=2.0, tileGridSize=(8, 8)).apply(pixels), np.uint8)


def resampled(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Resample as a detector of a coarser pixel pitch."""
    small = cv2.resize(pixels, None, fx=0.7, fy=0.7, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, pixels.shape[::-1], interpolation=cv2.INTER_LINEAR), np.uint8)


CHANGES: Mapping[str, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {
    "gamma 1.3": gamma,
    "CLAHE": clahe,
    "resampling by 0.7": resampled,
}


def observations(
    predictor: Predictor, paths: Sequence[Path], cache: Path, *, change: Callable[..., Any] | None = None
) -> Rows:
    """Answer images, or read what was kept of their answers."""
    if cache.is_file() and (known := Reference.read(cache)).model_sha256 == predictor.identity.sha256:
        return known.observations
    found = [
        observe(one)
        for one in predictor.predict_many([_read(path, change) for path in paths])
        if isinstance(one, Finding)
    ]
    Reference.draw(found, model_sha256=predictor.identity.sha256, most=len(found)).write(cache)
    return found


def _read(path: Path, change: Callable[..., Any] | None) -> Any:
    if change is None:
        return path
    film = open_source(path, limits=Limits(), untrusted=False)
    grey = (film.pixels >> (film.bits - 8)).astype(np.uint8)
    return Radiograph(change(grey), source=film.source)


def collect(predictor: Predictor, data: Path, table: pd.DataFrame, cache: Path, *, most: int) -> dict[str, Rows]:
    """Answer at most `most` images of every hospital and of every change; name to what is kept of them."""
    table = table[table["split"].isin(UNTRAINED)].sample(frac=1, random_state=0)

    def paths(source: str, label: str, count: int) -> list[Path]:
        rows = table[(table["source"] == source) & (table["label"] == label)].head(count)
        return [data / image for image in rows["image"]]

    home = paths(*HOME, AT_HOME + most)
    asked: dict[str, tuple[list[Path], Callable[..., Any] | None]] = {"home": (home[:AT_HOME], None)}
    asked |= {name: (paths(*which, most), None) for name, which in OTHERS.items()}
    asked |= {name: (home[AT_HOME:], change) for name, change in CHANGES.items()}
    found = {}
    for number, (name, (images, change)) in enumerate(asked.items()):
        found[name] = observations(predictor, images, cache / f"drift-{number}-{most}.json", change=change)
        print(f"{name}: {len(found[name])} images", flush=True)
    return found


def power(home: Rows, other: Rows, *, rounds: int, share: float = 1.0) -> dict[str, Any]:
    """Count how often a look at `SIZES` images, `share` of them changed, raises an alarm, and what it is called."""
    found: dict[str, Any] = {}
    for size in SIZES:
        results, kinds = [], []
        for number in range(rounds):
            rng = np.random.default_rng((size, number))
            order = rng.permutation(len(home))
            changed = round(share * size)
            if changed > len(other):
                continue
            recent = [other[i] for i in rng.permutation(len(other))[:changed]]
            recent += [home[i] for i in order[REFERENCE : REFERENCE + size - changed]]
            looked = compare(recent, [home[i] for i in order[:REFERENCE]], against="home", seed=number)
            results.append({result.test: result.alarm for result in looked})
            kinds.append(kind_of(looked))
        if kinds:
            tests = {test: float(np.mean([one[test] for one in results])) for test in results[0]}
            found[str(size)] = {"alarms": float(np.mean([kind is not None for kind in kinds])), "tests": tests}
            found[str(size)]["kinds"] = sorted({kind for kind in kinds if kind})
    return found


def without_change(home: Rows, *, rounds: int) -> dict[str, Any]:
    """Look at images of the same hospital and keep the p-values: they should be uniform."""
    values: dict[str, list[float]] = {}
    alarms = 0
    for number in range(rounds):
        order = np.random.default_rng((7, number)).permutation(len(home))
        recent = [home[i] for i in order[REFERENCE : REFERENCE + WINDOW]]
        looked = compare(recent, [home[i] for i in order[:REFERENCE]], against="home", seed=number)
        alarms += kind_of(looked) is not None
        for result in looked:
            values.setdefault(result.test, []).append(float(result.p or 0))
    below = {test: float(np.mean(np.array(found) < 0.1)) for test, found in values.items()}
    return {"looks": rounds, "alarms": alarms, "share_below_.1": below}


def prevalence(*, share: float = 0.2, images: int = 300) -> dict[str, dict[str, float]]:
    """Simulate how often the CUSUM notices another share of positives: share to images to power."""
    positive = round(share * images)
    limit, expected = cusum.limit(positive, images), cusum.expected_share(positive, images)
    found: dict[str, dict[str, float]] = {}
    for true in (0.05, 0.1, 0.2, 0.3, 0.4, 0.5):
        rng = np.random.default_rng(0)
        streams = rng.random((200, 300)) < true
        firsts = [_first_alarm(stream, limit=limit, share=expected) for stream in streams]
        found[f"{true:.2f}"] = {str(size): float(np.mean(np.array(firsts) <= size)) for size in (*SIZES, 300)}
    return found


def _first_alarm(stream: NDArray[np.bool_], *, limit: float, share: float) -> int:
    state = (0.0, 0.0)
    for begin in range(0, len(stream), EVERY):
        state = cusum.advance(state, stream[begin : begin + EVERY].tolist(), share=share)
        if max(state) > limit:
            return begin + EVERY
    return len(stream) + 1


def one_image(home: Rows, other: Rows) -> dict[str, Any]:
    """Measure what the gate and a classifier that knows both hospitals tell from one image.

    The classifier, linear discriminant analysis with shrinkage on the embeddings in five folds, is an upper bound: it
    was shown the new hospital. Its threshold lets 5 % of the images at home pass for the other hospital.
    """
    flagged = {
        check: [check in row.objections for row in other] for check in ("likeness", "layout", "part", "orientation")
    }
    any_check = [bool(row.objections) for row in other]
    rows = [*home[:REFERENCE], *other]
    features = np.array([row.embedding for row in rows], np.float64)
    label = np.arange(len(rows)) >= REFERENCE
    model = LinearDiscriminantAnalysis(solver="eigen", shrinkage="auto", priors=[0.5, 0.5])
    score = cross_val_predict(model, _reduced(features), label, cv=5, method="decision_function")
    known = float(np.mean(score[label] > np.quantile(score[~label], 0.95)))
    return {
        "images": len(other),
        "flagged": _share(any_check),
        "checks": {name: _share(found)["value"] for name, found in flagged.items()},
        "classifier": known,
    }


def _reduced(features: NDArray[np.float64]) -> NDArray[np.float64]:
    """Reduce to 50 principal components: there are more features than images."""
    centred = features - features.mean(axis=0)
    values, vectors = np.linalg.eigh(centred @ centred.T)
    reduced: NDArray[np.float64] = vectors[:, -50:] * np.sqrt(np.maximum(values[-50:], 0))
    return reduced


def _share(found: Sequence[bool]) -> dict[str, float]:
    interval = binomtest(int(sum(found)), len(found)).proportion_ci()
    return {
        "value": float(np.mean(found)),
        "ci_low": float(interval.low),
        "ci_high": float(interval.high),
        "n": len(found),
    }


def page(facts: Mapping[str, Any], command: str) -> str:
    """Write the page."""
    null = facts["without_change"]
    lines = [
        "# Drift: what is noticed, and how soon",
        "",
        f"`{command}` wrote this page; the numbers are in [drift.json](drift.json). The network is "
        f"{facts['model']['name']} {facts['model']['version']}. A store is commissioned on {REFERENCE} healthy adults "
        "of RSNA that the network was not trained on, and then fed. How the tests work: "
        "[monitor](../how-to/monitor.md).",
        "",
        "![Power after 25, 50 and 100 images](drift.png)",
        "",
        f"**Without a change**: {null['looks']} looks at {WINDOW} other images of the same hospital gave "
        f"{null['alarms']} alarms. Share of p-values below .10, which should be about 10 %: "
        + ", ".join(f"{test} {100 * value:.0f} %" for test, value in null["share_below_.1"].items() if test != "files")
        + f". The limit of one test is p = {LIMIT:.5f}.",
        "",
        f"## Share of {facts['rounds']} draws with an alarm, after this many images",
        "",
        "| what arrives | 25 | 50 | 100 | tests at the largest number | called |",
        "|---|---|---|---|---|---|",
    ]
    for name, found in facts["power"].items():
        last = found[max(found, key=int)]
        tests = ", ".join(test for test, share in last["tests"].items() if share >= 0.5) or "none"
        cells = [f"{found[str(size)]['alarms']:.2f}" if str(size) in found else "-" for size in SIZES]
        lines.append(f"| {name} | {' | '.join(cells)} | {tests} | {', '.join(last['kinds']) or '-'} |")
    lines += [
        "",
        "## Another share of positive answers: power of the CUSUM (reference: 60 of 300 positive)",
        "",
        "| true share | 25 | 50 | 100 | 300 |",
        "|---|---|---|---|---|",
        *(
            f"| {share} | {' | '.join(f'{found[n]:.2f}' for n in found)} |"
            for share, found in facts["prevalence"].items()
        ),
        "",
        "A true share of .20 is no change: what is noticed there are false alarms (simulated, 200 streams).",
        "",
        "## Can one image tell that it is from a hospital that the network does not know?",
        "",
        "| hospital | images | any objection of the gate | 95 % interval | likeness | classifier shown both |",
        "|---|---|---|---|---|---|",
    ]
    for name, one in facts["one_image"].items():
        flagged = {key: f"{100 * value:.1f}" for key, value in one["flagged"].items()}
        known = "-" if one["classifier"] is None else f"{100 * one['classifier']:.0f} %"
        lines.append(
            f"| {name} | {one['images']} | {flagged['value']} % | {flagged['ci_low']} to {flagged['ci_high']} % | "
            f"{100 * one['checks']['likeness']:.1f} % | {known} |"
        )
    lines += ["", _verdict(facts), ""]
    return "\n".join(lines)


def _verdict(facts: Mapping[str, Any]) -> str:
    new = facts["one_image"]["Pakistan, healthy (not in training)"]
    home = facts["one_image"]["home"]
    sites = facts["power"]["Pakistan, healthy (not in training)"]
    first = next((size for size, one in sites.items() if one["alarms"] == 1.0), None)
    return (
        f"The gate objects to {100 * new['flagged']['value']:.1f} % of single images of the hospital that is not in "
        f"training, against {100 * home['flagged']['value']:.1f} % at home. The last column is an upper bound for any "
        "check of one image: a classifier that was shown images of both hospitals, at 5 % false alarms. The gate was "
        "shown images of neither and must hold for every hospital, so it sees only what lies outside the spread of all "
        "training hospitals together, and images of one more hospital lie mostly inside. What tells is the group: "
        + (
            f"{first} images of that hospital are enough for an alarm in every draw."
            if first
            else "more images are needed."
        )
    )


def draw(facts: Mapping[str, Any], path: Path) -> None:
    """Draw the power as bars."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    names = list(facts["power"])
    figure, axes = plt.subplots(figsize=(8, 0.42 * len(names) + 1.2), layout="constrained")
    for number, size in enumerate(SIZES):
        widths = [facts["power"][name].get(str(size), {}).get("alarms", 0.0) for name in names]
        places = [i + 0.26 * (number - 1) for i in range(len(names))]
        axes.barh(places, widths, height=0.24, label=f"{size} images", color=("#b7cde8", "#5b8fc7", "#0a569f")[number])
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.set_xlabel("share of draws with an alarm")
    axes.legend(fontsize=8, loc="lower right")
    figure.savefig(path, dpi=110)


def main() -> None:
    """Run the study and write `docs/results/drift.*`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--table", type=Path, required=True)
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--most", type=int, default=100, help="images of each hospital and each change")
    parser.add_argument("--rounds", type=int, default=4, help="draws of each case; four times as many without a change")
    given = parser.parse_args()
    predictor = Predictor(given.bundle, threads=1)
    table = pd.read_csv(given.table, dtype=str, keep_default_na=False)
    rows = collect(predictor, given.data, table, given.cache, most=given.most)
    home = rows.pop("home")
    cases: dict[str, Callable[[], dict[str, Any]]] = {
        name: partial(power, home, other, rounds=given.rounds) for name, other in rows.items()
    }
    mixed = "Pakistan, healthy (not in training)"
    cases |= {f"10 % {mixed}": partial(power, home, rows[mixed], rounds=given.rounds, share=0.1)}
    cases |= {f"20 % {mixed}": partial(power, home, rows[mixed], rounds=given.rounds, share=0.2)}
    facts = {
        "model": {"name": predictor.identity.name, "version": predictor.identity.version},
        "limit": LIMIT,
        "rounds": given.rounds,
        "without_change": without_change(home, rounds=4 * given.rounds),
        "power": {name: measure() for name, measure in cases.items()},
        "prevalence": prevalence(),
        "one_image": {
            "home": {**one_image(home, home[REFERENCE:]), "classifier": None},
            **{name: one_image(home, rows[name]) for name in OTHERS},
        },
    }
    facts = json.loads(json.dumps(facts))
    write_compact_json(RESULTS / "drift.json", facts)
    draw(facts, RESULTS / "drift.png")
    (RESULTS / "drift.md").write_text(
        page(facts, f"python -m experiments.drift --most {given.most} --rounds {given.rounds}"), encoding="utf-8"
    )


if __name__ == "__main__":
    main()
