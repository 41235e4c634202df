"""Count how often the server withholds a class as a close call, and how accurate those classes would have been.

    python -m experiments.close_calls RUN

RUN is evaluated (predictions.csv) and has its bundle, as runs/default.sh leaves it.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks._support.results import markdown_table, write_results
from covid_xray.bundle.bundle import load_bundle
from covid_xray.evaluation.metrics.intervals import proportions
from covid_xray.inference.prediction_sets import prediction_set
from covid_xray.inference.site.close_call import close_calls
from covid_xray.inference.thresholds import passed


def main(run: Path) -> None:
    """Apply the rule to the stored probabilities and write the page."""
    bundle, table = load_bundle(run / "bundle"), pd.read_csv(run / "predictions.csv", low_memory=False)
    facts = bundle.contents
    close = np.array([_is_close(row, bundle.classes, facts, bundle.sha256) for _, row in table.iterrows()])
    withheld = table["reasons"].fillna("").ne("").to_numpy()
    right = (table["label"] == table["predicted"]).to_numpy()
    groups = table["patient_id"].fillna(table["image"]).to_numpy()
    parts = {
        "withheld before (input check, set of several classes)": (withheld, np.ones_like(withheld)),
        "close calls besides": (close & ~withheld, np.ones_like(withheld)),
        "right, of the classes said without this rule": (right, ~withheld),
        "right, of the classes still said": (right, ~withheld & ~close),
        "right, of the close calls": (right, close & ~withheld),
        **{
            f"close calls among {name}": (close & ~withheld, (table["label"] == name).to_numpy())
            for name in bundle.classes
        },
    }
    found = proportions(parts, groups=groups)
    rows = [
        [name, f"{100 * it.value:.1f} % ({100 * it.low:.1f} to {100 * it.high:.1f})", int(parts[name][1].sum())]
        for name, it in found.items()
    ]
    write_results(
        "close_calls",
        {"figures": {name: it.as_dict() for name, it in found.items()}},
        markdown_table(["what", "share (95 %, patients drawn)", "of images"], rows),
        title="Close calls",
        command="python -m experiments.close_calls RUN",
        note="The rule is in [serve](../how-to/serve.md). `evaluate` counts the most probable class without it.",
    )


def _is_close(row: pd.Series, classes: tuple[str, ...], facts: object, sha256: str) -> bool:
    probabilities = {name: float(row[f"p_{name}"]) for name in classes}
    kept = prediction_set(probabilities, facts.conformal)
    points = passed(probabilities, facts.operating_points, sha256=sha256)
    return bool(close_calls(row["predicted"], kept=kept, points=points))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
