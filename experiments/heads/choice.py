"""Choose the head that ships by a fixed rule, and judge the rule on pairs of hospitals that had no say in the choice.

The rule puts hospitals that were left out first: among the heads whose worst pair is within NOISE of the best, then
those whose mean is, then those whose macro-F1 on known sources is within HOME of the best, it takes the best worst
pair. Heads that look at two pictures of an image are reported but not chosen, because they would halve the speed.

The best of many heads is partly luck. So the choice is made again without each source of covid (on four pairs, judged
on the other two), and without both sources of each pair (on two pairs, judged on that one).
"""

from typing import Any

import numpy as np

SHIPPED = "blind to source, outside and corners, natural, one scale, C=0.0003"  # what runs/default.yaml says
NOISE = 0.02  # of an AUROC: half the half-width of a pair's interval
HOME = 0.01  # of a macro-F1 on 859 images
Rows = list[dict[str, Any]]


def auroc_by_fold(row: dict[str, Any]) -> dict[str, float]:
    """Map each fold to its AUROC."""
    return {fold["fold"]: fold["auroc"] for fold in row["folds"]}


def choose(rows: Rows, pairs: list[str]) -> dict[str, Any]:
    """Return the row that the rule takes by `pairs` alone."""
    rows = [row for row in rows if "answer: mean" not in row["name"]]
    by = [[auroc_by_fold(row)[pair] for pair in pairs] for row in rows]
    worst, mean = np.array([min(v) for v in by]), np.array([np.mean(v) for v in by])
    kept = worst >= worst.max() - NOISE
    kept &= mean >= mean[kept].max() - NOISE
    home = np.array([row["macro_f1"] for row in rows])
    kept &= home >= home[kept].max() - HOME
    return rows[int(np.argmax(np.where(kept, worst, -1)))]


def nested(rows: Rows) -> dict[str, Any]:
    """Choose without a source of covid (`sources`) and without both sources (`pairs`), and judge on what was left out.

    Returns:
        `sources` and `pairs`: fold -> the row chosen and its AUROC; and the worst and mean AUROC of each.
    """
    folds = list(auroc_by_fold(rows[0]))
    found: dict[str, Any] = {"sources": {}, "pairs": {}}
    for fold in folds:
        covid, normal = fold.split("+")
        others = {"sources": [f for f in folds if f.split("+")[0] != covid],
                  "pairs": [f for f in folds if f.split("+")[0] != covid and f.split("+")[1] != normal]}  # fmt: skip
        for way, pairs in others.items():
            row = choose(rows, pairs)
            found[way][fold] = {"row": row["name"], "auroc": auroc_by_fold(row)[fold]}
    for way in ("sources", "pairs"):
        reached = [it["auroc"] for it in found[way].values()]
        found[f"{way}_worst"], found[f"{way}_mean"] = min(reached), float(np.mean(reached))
    return found


def describe_choice(rows: Rows) -> list[str]:
    """Describe the choice as lines of Markdown."""
    row, inner = choose(rows, list(auroc_by_fold(rows[0]))), nested(rows)
    v = auroc_by_fold(row).values()
    lines = [
        f"The rule of `experiments/heads/choice.py` (worst pair, then mean, each within {NOISE:g} of the best, then",
        f"known sources) takes this one of the {len(rows)} heads: **{row['name']}**.",
        f"Its worst pair is {min(v):.3f}, the mean {np.mean(list(v)):.3f}, known sources {row['macro_f1']:.3f}.",
        "The best of many is partly luck, so here is the same rule where the choice cannot use the pairs that it is",
        "judged on:",
        "",
        "| choice made on | judged on | worst | mean | rows chosen |",
        "|---|---|---|---|---|",
        f"| all six pairs | the same six | {min(v):.3f} | {np.mean(list(v)):.3f} | {row['name']} |",
    ]
    for way, text in (("sources", "four pairs, without a source of covid | the two pairs with it"),
                      ("pairs", "two pairs that share no source | the pair left")):  # fmt: skip
        names = sorted({it["row"] for it in inner[way].values()})
        lines.append(f"| {text} | {inner[way + '_worst']:.3f} | {inner[way + '_mean']:.3f} | {'; '.join(names)} |")
    return lines
