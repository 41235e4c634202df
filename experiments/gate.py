"""Measure the input gate on radiographs and on other pictures, against two scores that use the softmax alone.

Pictures to accept: the test part of the run (patients that the network never saw), and radiographs of the same table
that the run did not use. Pictures to refuse: those of `non_chest_images`. Peers in the same run: one minus the largest
probability (Hendrycks and Gimpel 2017) and the energy of the logits (Liu and others 2020).

    python -m experiments.gate --bundle RUN/bundle --split RUN/split.csv --data FOLDER_OF_THE_RADIOGRAPHS

Writes docs/results/gate.{json,md}. Needs the package registry once, for the pictures (`--corpora` keeps them).
"""

import argparse
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pandas as pd
from sklearn.metrics import roc_auc_score

from benchmarks._support import non_chest_images
from benchmarks._support.results import RESULTS, markdown_table, write_results
from covid_xray.bundle.bundle import load_bundle
from covid_xray.data.manifest.manifest import Manifest, read_manifest
from covid_xray.data.manifest.tables import read_table
from covid_xray.data.split.groups import groups, with_duplicates
from covid_xray.data.split.split import read_split
from covid_xray.evaluation.gate.fit import fit_gate, objections, values_of
from covid_xray.evaluation.gate.random_crops import crop_images
from covid_xray.evaluation.gate.sample import CUT_OUT, evenly, measure_sample
from covid_xray.images.radiograph import Radiograph
from covid_xray.inference.gate import Gate, open_gate, reasons
from covid_xray.inference.gate_features import look
from covid_xray.inference.io.inputs import open_source
from covid_xray.inference.predictor import Predictor
from covid_xray.limits import Limits

SCOUTS = ("cxnet/040", "cxnet/041", "cxnet/042")  # CT scout views in the radiographs' README
UNSEEN = "source not trained on"
SCORES = ("gate", "max softmax", "energy")
LEARNT = ("layout", "likeness", "part")  # checks whose statistics are of training images


def main() -> None:
    """Measure, and write docs/results/gate."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--split", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--table", type=Path, help="table of the radiographs, paths below --data; default: its own")
    parser.add_argument("--corpora", type=Path, default=Path(tempfile.gettempdir()) / "covid-xray-corpora")
    parser.add_argument("--each", type=int, default=250, help="images of each group to accept")
    parser.add_argument("--made", type=int, default=100, help="radiographs that are turned and cropped")
    parser.add_argument("--learnt", type=int, default=2000, help="training images for leaving one source out")
    args = parser.parse_args()
    asked = GatedNetwork(args.bundle)
    good, held = radiographs_to_accept(args)
    films = {name: [opened(manifest, image) for image in manifest.table["image"]] for name, manifest in good.items()}
    cut_out = [film for film in films["test part"] if look(film).extremes > CUT_OUT]
    if cut_out:
        films["test part"] = [film for film in films["test part"] if look(film).extremes <= CUT_OUT]
    bad, said = pictures_to_refuse(args, films["test part"][: args.made])
    unseen = [film for name, group in films.items() if name.endswith(f"({UNSEEN})") for film in group]
    for name, (_, words) in non_chest_images.MADE.items() if unseen else ():
        bad[f"{name}, {UNSEEN}"] = non_chest_images.modified(unseen[:: -(-len(unseen) // args.made)], name)
        said[f"{name}, {UNSEEN}"] = words
    bad |= {"test part, lungs cut out by a program": cut_out} if cut_out else {}
    measured = {name: asked(group) for name, group in {**films, **bad}.items() if group}
    usual = measured["test part"]
    result = {
        "bundle": {"name": asked.predictor.identity.name, "sha256": asked.predictor.identity.sha256},
        "gate": {
            key: asked.facts[key] for key in ("rate", "tail", "images", "refused", "refused_left_out", "thresholds")
        },
        "good": {name: refusals(measured[name]) for name in films},
        "chest_in_pydicom": [list(found) for found in asked(non_chest_images.chests(args.corpora))["reasons"]],
        "left_out": left_out(asked.predictor, held, learnt=args.learnt, rate=asked.facts["rate"]),
        "groups": {name: against(measured[name], usual, said.get(name, ())) for name in bad if name in measured},
        "milliseconds": cost(asked, films["test part"][:100]),
    }
    tables = page(result)
    command = "python -m experiments.gate --bundle RUN/bundle --split RUN/split.csv --data FOLDER"
    write_results("gate", result, tables, title="The input gate", command=command, note=notes(result))
    print(tables, f"\nwritten to {RESULTS / 'gate.md'}")


class GatedNetwork:
    """The network of a bundle with its logits as an additional output, and its gate."""

    def __init__(self, folder: Path) -> None:
        bundle = load_bundle(folder)
        self.predictor = Predictor(bundle)
        if self.predictor.gate is None:
            raise SystemExit(f"{folder} has no gate. Fit one: covid-xray calibrate RUN --data DATA")
        self.gate: Gate = self.predictor.gate
        self.facts = bundle.facts["gate"]
        model = onnx.load_from_string(bundle.model)
        last = next(node for node in model.graph.node if "probabilities" in node.output)
        self.logits = last.input[0] if last.op_type == "Softmax" else None
        if self.logits:
            model.graph.output.append(onnx.helper.make_empty_tensor_value_info(self.logits))
        self.session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        self.temperature = bundle.temperature

    def __call__(self, films: list[Radiograph], *, batch: int = 16) -> dict[str, list]:
        """Score each picture (higher: less like a chest X-ray); return also the gate's reasons and failed checks."""
        scores = SCORES if self.logits else SCORES[:-1]
        out: dict[str, list] = {name: [] for name in (*scores, "reasons", "checks")}
        for start in range(0, len(films), batch):
            some = films[start : start + batch]
            views = [self.predictor.view(film) for film in some]
            pixels = np.stack([view.pixels for view in views])[..., None].astype(np.float32)
            names = ["embedding", self.logits or "probabilities"]
            embeddings, values = self.session.run(names, {self.session.get_inputs()[0].name: pixels})
            if self.logits:
                logits = values.astype(np.float64) / self.temperature
                energy = np.logaddexp.reduce(logits, axis=1)
                out["energy"] += list(-energy)
                values = np.exp(logits - energy[:, None])
            out["max softmax"] += list(1 - values.max(axis=1))
            for film, view, embedding in zip(some, views, embeddings, strict=True):
                verdicts = self.gate.judge(look(film), embedding, view.lungs)
                out["gate"].append(strangeness(self.gate, verdicts))
                out["reasons"].append(reasons(verdicts))
                out["checks"].append([name for name, verdict in verdicts.items() if not verdict["ok"]])
        return out


def strangeness(gate: Gate, verdicts: dict) -> float:
    """One number for the whole gate, above 1 exactly where it objects: the worst check as a share of its threshold."""
    seen = {name: np.nan if verdict["value"] is None else verdict["value"] for name, verdict in verdicts.items()}
    shares = [seen[name] / gate.thresholds[name] for name in ("layout", "likeness", "extremes")]
    shares.append(gate.thresholds["contrast"] / max(seen["contrast"], 1e-6))
    least, most = gate.thresholds["aspect"]
    shares.append(max(least / seen["aspect"], seen["aspect"] / most))
    shares += [np.exp(seen["part"] - gate.thresholds["part"])] if "part" in seen else []  # a logit may be negative
    shares += [2 + seen[n] for n in ("polarity", "orientation") if not verdicts[n]["ok"]]
    shares += [1e6 for name in ("modality", "view") if name in verdicts and not verdicts[name]["ok"]]
    return float(np.nan_to_num(max(shares), nan=1e6, posinf=1e6))


def radiographs_to_accept(args: argparse.Namespace) -> tuple[dict[str, Manifest], Manifest]:
    """Select the test part and, by source and label, radiographs that the run did not use; and the training part."""
    table = read_table(args.split, required=("image", "split"))
    everything = read_manifest(args.table or args.data, images=args.data if args.table else None, check=False)
    everything = with_duplicates(everything, table) if "group" in table else everything
    copies = RESULTS / "cxr-duplicates.csv"
    known = everything.table["image"].map(read_split(args.split)).fillna("")
    member = groups(with_duplicates(everything, pd.read_csv(copies, dtype=str)) if copies.is_file() else everything)
    used = member.to_numpy()[(known != "").to_numpy()]
    scout = everything.table["image"].str.contains("|".join(SCOUTS))
    free = (known == "") & ~pd.Series(member.isin(set(used)).to_numpy(), index=known.index) & ~scout
    learnt = set(everything.table["source"][known == "train"])
    chosen = {"test part": everything.table["image"][(known == "test") & ~scout]}
    for (source, label), images in everything.table[free].groupby(["source", "label"])["image"]:
        if len(images) >= 20:
            kind = "label not trained on" if source in learnt else UNSEEN
            chosen[f"{source} {label} ({kind})"] = images
    most = {"test part": 2 * args.each}  # some of it may be lungs alone
    drawn = {
        name: images.sample(min(most.get(name, args.each), len(images)), random_state=0)
        for name, images in chosen.items()
    }
    return (
        {name: everything.take(sorted(images)) for name, images in drawn.items()},
        everything.take((known == "train").to_numpy()),
    )


def opened(manifest: Manifest, image: str) -> Radiograph:
    """Open one image of a manifest."""
    return open_source(manifest.path(image), limits=Limits())


def pictures_to_refuse(args: argparse.Namespace, films: list[Radiograph]) -> tuple[dict[str, list[Radiograph]], dict]:
    """Collect the groups to refuse, and the reasons that some of them should get."""
    scouts = [path for name in SCOUTS for path in sorted(args.data.rglob(f"images/{name}.*"))]
    made = {name: non_chest_images.modified(films, name) for name in non_chest_images.MADE}
    bad = {**non_chest_images.from_packages(args.corpora), **non_chest_images.drawn(), **made}
    bad["CT scout views (cxnet 040 to 042)"] = [open_source(path, limits=Limits()) for path in scouts]
    return bad, {name: words for name, (_, words) in non_chest_images.MADE.items()}


def refusals(measured: dict[str, list]) -> dict:
    """Count refused images of a group to accept, by check."""
    refused = sum(bool(found) for found in measured["reasons"])
    low, high = wilson(refused, len(measured["reasons"]))
    checks = Counter(name for found in measured["checks"] for name in found)
    return {"n": len(measured["reasons"]), "refused": refused, "low": low, "high": high, "checks": dict(checks)}


def against(measured: dict[str, list], usual: dict[str, list], words: tuple[str, ...]) -> dict:
    """Detection of a group beside the good images of the test part."""
    facts: dict = {"n": len(measured["reasons"])}
    for name in [score for score in SCORES if score in measured]:
        good, bad = np.array(usual[name]), np.array(measured[name])
        labels = np.repeat([0, 1], [len(good), len(bad)])
        threshold = np.quantile(bad, 0.05, method="lower")  # 95 % of the group lie at or above it
        facts[name] = {
            "auroc": float(roc_auc_score(labels, np.concatenate([good, bad]))),
            "refused_at_95": float((good >= threshold).mean()),
        }
    caught = sum(bool(found) for found in measured["reasons"])
    facts["detected"] = caught / facts["n"]
    facts["low"], facts["high"] = wilson(caught, facts["n"])
    if words:
        facts["named"] = sum(all(any(w in r for r in f) for w in words) for f in measured["reasons"]) / facts["n"]
    facts["checks"] = dict(Counter(name for found in measured["checks"] for name in found))
    return facts


def left_out(predictor: Predictor, held: Manifest, *, learnt: int, rate: float) -> dict[str, dict]:
    """Fit a gate without each source in turn and apply it to that source, as a new hospital would experience it."""
    few = held.table["image"].iloc[evenly(held, np.arange(len(held.table)), most=learnt, seed=0)].tolist()
    sample, pieces = measure_sample(predictor, held.take(few)), crop_images(predictor, held.take(few[::2]))
    whole = np.array([seen.extremes <= CUT_OUT for seen in sample.looks])
    sample, gone = sample.take(whole), sample.members[~whole]
    pieces = pieces.take(~np.isin(pieces.members, gone))
    found = {}
    for source in sorted(set(sample.sources)):
        inside = sample.sources == source
        gone = sample.members[inside]
        others, cut = (one.take(~np.isin(one.members, gone)) for one in (sample, pieces))
        if min(inside.sum(), len(others)) < 100:
            continue
        facts = fit_gate(others, sample.take(np.zeros(len(sample), dtype=bool)), cut, rate=rate)
        values = values_of(open_gate(facts), sample.take(inside))
        refused = int(objections(values, facts["thresholds"]).sum())
        low, high = wilson(refused, int(inside.sum()))
        by = {name: float((values.checks[name] > facts["thresholds"][name]).mean()) for name in LEARNT}
        found[source] = {"n": int(inside.sum()), "refused": refused, "low": low, "high": high, "share": by}
    return found


def cost(asked: GatedNetwork, films: list[Radiograph]) -> dict[str, float]:
    """Measure processor milliseconds per image of the gate and of the network."""
    views = [asked.predictor.view(film) for film in films]
    embeddings = [asked.predictor.run(view.pixels[None])["embedding"][0] for view in views]
    begun = time.process_time()
    for film, view, embedding in zip(films, views, embeddings, strict=True):
        asked.gate.judge(look(film), embedding, view.lungs)
    middle = time.process_time()
    for view in views:
        asked.predictor.run(view.pixels[None])
    return {
        "gate": 1000 * (middle - begun) / len(films),
        "network": 1000 * (time.process_time() - middle) / len(films),
    }


def wilson(hits: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """Compute the 95 % interval of a share (Wilson 1927)."""
    share, centre = hits / n, (hits / n + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return float(max(0.0, centre - half)), float(min(1.0, centre + half))


def page(result: dict) -> str:
    """Format the tables."""
    good = markdown_table(
        ["radiographs", "n", "refused", "95 % interval", "failed checks"],
        [[name, f["n"], f"{f['refused'] / f['n']:.1%}", f"{f['low']:.1%} to {f['high']:.1%}", _by(f)]
         for name, f in result["good"].items()],
    )  # fmt: skip
    left = markdown_table(
        ["gate fitted without", "n", "refused of that source", "95 % interval", *LEARNT],
        [[name, f["n"], f"{f['refused'] / f['n']:.1%}", f"{f['low']:.1%} to {f['high']:.1%}",
          *(f"{f['share'][check]:.1%}" for check in LEARNT)] for name, f in result["left_out"].items()],
    )  # fmt: skip
    scores = [score for score in SCORES if all(score in facts for facts in result["groups"].values())]
    header = ["group", "n", "refused", "95 % interval", "right reason", "AUROC: gate", *scores[1:]]
    header += [f"radiographs refused at 95 % detection: {scores[0]}", *scores[1:]]
    rows = [
        [name, f["n"], f"{f['detected']:.1%}", f"{f['low']:.1%} to {f['high']:.1%}",
         f"{f['named']:.1%}" if "named" in f else "",
         *(f"{f[score]['auroc']:.3f}" for score in scores), *(f"{f[score]['refused_at_95']:.1%}" for score in scores)]
        for name, f in result["groups"].items()
    ]  # fmt: skip
    return f"{good}\n\n{left}\n\n{markdown_table(header, rows)}"


def notes(result: dict) -> str:
    """Format the notes below the tables."""
    chest = ["accepted" if not found else f"refused ({'; '.join(found)})" for found in result["chest_in_pydicom"]]
    spent = result["milliseconds"]
    lines = [
        f"The thresholds allow {result['gate']['rate']:.0%} of good radiographs to be refused by all checks together.",
        "Refused: at the thresholds in the bundle. AUROC and the last columns: against the test part.",
        "Lateral chest views: no such file was available. A lateral DICOM is refused by its view position.",
        f"Frontal chests among pydicom's files (RG1): {', '.join(chest) or 'not available'}.",
        f"Processor time per image: gate {spent['gate']:.2f} ms, network {spent['network']:.1f} ms.",
    ]
    return "\n".join(f"- {line}" for line in lines)


def _by(facts: dict) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(facts["checks"].items()))


if __name__ == "__main__":
    main()
