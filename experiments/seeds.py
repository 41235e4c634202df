"""Compare runs of the same recipe with different seeds: how far figures and answers move.

python -m experiments.seeds RUN RUN RUN    (runs of runs/default.sh with seeds 0, 1, 2; the first one ships)
"""

import itertools
import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from benchmarks._support.results import RESULTS
from scripts.compact_json import write_compact_json

RANDOM = "The seed draws the changes of the second copy of each training image; backbone and split are fixed."
NOT_RANDOM = (
    "Nothing in this recipe is random: the backbone is ImageNet's, the split comes from the table, no image is "
    "altered, and the loss of the head has a single minimum. What remains is rounding between threads."
)
FIGURES = ("macro_f1", "auroc_macro", "sensitivity/covid", "specificity/covid", "ece")


def main() -> None:
    """Write docs/results/seeds.json and .md."""
    runs = [Path(name) for name in sys.argv[1:]]
    facts, answers = [], []
    for run in runs:
        metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
        settings = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
        facts.append({"seed": settings["seed"], **{name: metrics["figures"][name]["value"] for name in FIGURES}})
        answers.append(pd.read_csv(run / "predictions.csv", low_memory=False).set_index("image"))
    pairs = list(itertools.combinations(range(len(runs)), 2))
    same = [
        float((answers[a]["predicted"] == answers[b]["predicted"].reindex(answers[a].index)).mean()) for a, b in pairs
    ]
    shift = [
        float((answers[a]["p_covid"] - answers[b]["p_covid"].reindex(answers[a].index)).abs().mean()) for a, b in pairs
    ]
    spread = {name: float(np.ptp([row[name] for row in facts])) for name in FIGURES}
    found = {"runs": facts, "spread": spread, "same_label": same, "mean_change_of_p_covid": shift}
    write_compact_json(RESULTS / "seeds.json", found)
    lines = [
        "# Seeds",
        "",
        "Made by `python -m experiments.seeds RUN RUN RUN` from runs of `runs/default.sh`, on the same test part",
        f"({len(answers[0])} images).",
        "",
        "| seed | " + " | ".join(FIGURES) + " |",
        "|---" * (len(FIGURES) + 1) + "|",
        *(f"| {row['seed']} | " + " | ".join(f"{row[name]:.3f}" for name in FIGURES) + " |" for row in facts),
        "| spread | " + " | ".join(f"{spread[name]:.3f}" for name in FIGURES) + " |",
        "",
        f"Any two seeds agree on the label of at least {min(same):.1%} of the images; the mean change of the "
        f"probability of covid is at most {max(shift):.3f}. " + (RANDOM if settings["augment"] else NOT_RANDOM),
    ]
    RESULTS.joinpath("seeds.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
