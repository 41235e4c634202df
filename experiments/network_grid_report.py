"""Write docs/results/network-grid from the answers of network_grid.py and the heads of heads/linear_heads.py.

    python -m experiments.network_grid_report [--data FOLDER] [--heads heads.json] [--machine "..."] [RESULTS.pickle...]

What is not given stays as docs/results/network-grid.json has it: the heads without --heads, and trainings whose names
are not in RESULTS.pickle. Of the page only the blocks between `<!-- NAME -->` and `<!-- /NAME -->` are written; people
write the text around them.
"""

import argparse
import json
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import f1_score, roc_auc_score

from benchmarks._support.results import RESULTS
from experiments.heads.choice import SHIPPED, describe_choice
from experiments.heads.linear_heads import NOT_JUDGED, interval
from experiments.network_grid import CLASSES, parts, study
from scripts.compact_json import rounded, write_compact_json

PAGE, FILE = RESULTS / "network-grid.md", RESULTS / "network-grid.json"
MARKED = ("whole, C=0.001", "and 1 altered copies, balanced, C=0.001", "one scale for all features, natural, C=0.0003",
          "blind to source, natural, one scale, C=0.0003", "blind to source and outside, natural, one scale, C=0.0003",
          SHIPPED)  # fmt: skip
FOLDS = [f"{covid}+{normal}" for covid in ("ieee8023", "cxnet", "hannover") for normal in ("kermany", "nih")]
FIGURES = ("auroc", "low", "high", "auroc_hidden")
ABOUT = "folds: AUROC of covid against normal, its 95 % interval (low, high), AUROC with the lungs hidden"


def read_grid() -> dict[str, Any]:
    """Read docs/results/network-grid.json; each head and training gets `folds` as a list of dicts."""
    facts = json.loads(FILE.read_text(encoding="utf-8"))
    unpack = lambda folds: [{"fold": name, **dict(zip(FIGURES, row, strict=True))} for name, row in folds.items()]  # noqa: E731
    facts["heads"] = [{**head, "folds": unpack(head["folds"])} for head in facts["heads"]]
    facts["trained"] = {name: unpack(folds) for name, folds in facts["trained"].items()}
    return facts


def write_grid(facts: dict[str, Any]) -> None:
    """Write what `read_grid` reads, one line for each head and training."""
    pack = lambda folds: {fold["fold"]: [fold[name] for name in FIGURES] for fold in folds}  # noqa: E731
    heads = [{**head, "folds": pack(head["folds"])} for head in facts["heads"]]
    trained = {name: pack(folds) for name, folds in facts["trained"].items()}
    write_compact_json(
        FILE, rounded({**facts, "about": ABOUT, "heads": heads, "trained": trained}, digits=8), width=800
    )


def figures(result: dict[str, Any], table: pd.DataFrame) -> dict[str, Any]:
    """Compute the AUROC of covid against normal in one fold, with the lungs in view and hidden."""
    covid, normal = result["fold"].split("+")
    rows = np.asarray(result["rows"])
    labels, hospitals = table["label"].to_numpy()[rows], table["hospital"].to_numpy()[rows]
    asked = ((hospitals == covid) & (labels == "covid")) | ((hospitals == normal) & (labels == "normal"))
    asked &= ~table["reason"].isin(NOT_JUDGED).to_numpy()[rows]
    truth, found = labels[asked] == "covid", {}
    for view, logarithms in result["found"].items():
        three = logarithms[asked][:, : len(CLASSES)].astype(float)
        p = three[:, 0] - three[:, 1]
        key = "auroc_hidden" if view.endswith("hidden") else "auroc"
        found[key] = float(roc_auc_score(truth, p))
        if key == "auroc":
            found["low"], found["high"] = interval(truth, p, table["person"].to_numpy()[rows][asked])
    return {"fold": result["fold"], **found}


def on_known_sources(results: list[dict[str, Any]], table: pd.DataFrame) -> dict[str, list[dict[str, Any]]]:
    """Compute macro-F1 on the calibration part for each configuration and seed, with the lungs in view and hidden."""
    part, labels = parts(table), table["label"].to_numpy()
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for result in results:
        rows = np.asarray(result["rows"])
        asked = part[rows] == "calibration"
        truth = [CLASSES.index(label) for label in labels[rows][asked]]
        row = {"seed": result["fold"].removeprefix("pooled seed "), "images": len(truth)}
        for view, logarithms in result["found"].items():
            first = logarithms[asked][:, : len(CLASSES)].argmax(axis=1)
            row["hidden" if view.endswith("hidden") else "macro_f1"] = float(f1_score(truth, first, average="macro"))
        found.setdefault(result["name"], {})[row["seed"]] = row  # the same seed again is the same training
    return {name: [rows[seed] for seed in sorted(rows)] for name, rows in found.items()}


def line(name: str, rows: list[dict[str, Any]], *more: str, intervals: bool = True) -> str:
    """Format one row of a table."""
    by = {row["fold"]: row for row in rows}
    cells = [_cell(by[f], intervals) if f in by else "not run" for f in FOLDS]
    values = [row["auroc"] for row in rows]
    blind = [row["auroc_hidden"] for row in rows if row["auroc_hidden"] is not None]
    hidden = f"{np.mean(blind):.2f}" if blind else ""
    figures_ = (f"{min(values):.3f}", f"{np.mean(values):.3f}", hidden, *more)
    return f"| {name} | {' | '.join(cells)} | {' | '.join(figures_)} |"


def _cell(row: dict[str, Any], intervals: bool) -> str:
    return f"{row['auroc']:.2f}" + (f" ({row['low']:.2f}-{row['high']:.2f})" if intervals else "")


def header(*more: str) -> list[str]:
    """Format the first two lines of a table."""
    head = "| network | " + " | ".join((*FOLDS, "worst", "mean", "mean, lungs hidden", *more)) + " |"
    return [head, "|" + "---|" * (head.count("|") - 1)]


def heads_table(heads: list[dict[str, Any]], *, marked: bool) -> str:
    """Format the table of heads: `marked` ones with intervals, or all of them without."""
    lines = header("macro-F1, known sources", "lungs hidden", "corners black", "NIH called covid")
    chosen = [head for head in heads if head["name"] in MARKED] if marked else heads
    for head in chosen:
        name = f"**{head['name']}**" if marked else head["name"]
        lines.append(line(name, head["folds"], *_known_cells(head), intervals=marked))
    return "\n".join(lines)


def _known_cells(head: dict[str, Any]) -> tuple[str, ...]:
    others = [head.get(key) for key in ("macro_f1_hidden", "macro_f1_corners")]
    hidden, corners = ("" if value is None else f"{value:.3f}" for value in others)
    return f"{head['macro_f1']:.3f}", hidden, corners, f"{head['nih_called_covid']:.1%}"


def trained_table(trained: dict[str, Any], known: dict[str, Any]) -> str:
    """Format the table of trainings of more than the head."""
    lines = header("macro-F1, known sources")
    for name, rows in trained.items():
        more = ", ".join(f"{it['macro_f1']:.3f} ({it['hidden']:.3f})" for it in known.get(name, []))
        lines.append(line(name.removeprefix("tune "), rows, more or "not measured"))
    return "\n".join(lines)


def read_answers(paths: list[Path], table: pd.DataFrame) -> dict[str, Any]:
    """Read answers of network_grid.py: `trained` and `known`, as in docs/results/network-grid.json."""
    raw = [result for path in paths for result in pickle.loads(path.read_bytes())]
    trained: dict[str, list[dict[str, Any]]] = {}
    for result in raw:
        if "error" not in result and "+" in result["fold"] and result["losses"]:
            trained.setdefault(result["name"], []).append(figures(result, table))
    known = on_known_sources([r for r in raw if "error" not in r and r["fold"].startswith("pooled")], table)
    return {"trained": trained, "known": known}


def with_blocks(page: str, facts: dict[str, Any]) -> str:
    """Replace the generated blocks of the page."""
    blocks = {
        "machine": facts["machine"],
        "choice": "\n".join(describe_choice(facts["heads"])),
        "heads": heads_table(facts["heads"], marked=True),
        "all heads": heads_table(facts["heads"], marked=False),
        "trainings": trained_table(facts["trained"], facts["known"]),
    }
    for name, text in blocks.items():
        block = f"<!-- {name} -->\n{text}\n<!-- /{name} -->"
        page, found = re.subn(f"<!-- {name} -->.*?<!-- /{name} -->", lambda _, b=block: b, page, flags=re.S)
        if found != 1:
            raise SystemExit(f"{PAGE.name} has {found} blocks named {name}: it needs exactly one.")
    return page


def main() -> None:
    """Write docs/results/network-grid.json and the blocks of network-grid.md."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, nargs="*")
    parser.add_argument("--data", type=Path, help="needed with RESULTS.pickle")
    parser.add_argument("--duplicates", type=Path, default=RESULTS / "cxr-duplicates.csv")
    parser.add_argument("--heads", type=Path)
    parser.add_argument("--machine", default="")
    options = parser.parse_args()
    facts = read_grid()
    if options.results:
        for key, value in read_answers(options.results, study(options.data, options.duplicates)).items():
            facts[key] = {**facts[key], **value}
    if options.heads:
        facts["heads"] = json.loads(options.heads.read_text(encoding="utf-8"))
    facts["machine"] = options.machine or facts["machine"]
    write_grid(facts)
    PAGE.write_text(with_blocks(PAGE.read_text(encoding="utf-8"), facts), encoding="utf-8")


if __name__ == "__main__":
    main()
