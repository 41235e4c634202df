"""Which head of heads.json ships, by a rule; and what the same rule reaches on pairs that had no say in the choice.

The rule, hospitals left out first: of the rows whose worst pair lies within NOISE of the best, and of these whose mean
does, and of these whose macro-F1 on known sources lies within HOME of the best, the best worst pair. Rows that ask two
pictures of an image are told but not chosen: they would halve the speed.

The more rows, the better the best of them by luck alone; so the choice is made again without each source of covid (on
four pairs, told on the other two), and without each pair's two sources (on two pairs, told on that one).
"""

from typing import Any

import numpy as np

SHIPPED = "blind to source, outside and corners, natural, one scale, C=0.0003"  # what runs/default.yaml says
NOISE = 0.02  # of an AUROC: half the half-width of a pair's interval
HOME = 0.01  # of a macro-F1 on 859 images
Rows = list[dict[str, Any]]


def values_of(row: dict[str, Any]) -> dict[str, float]:
    """Fold -> AUROC."""
    return {fold["fold"]: fold["auroc"] for fold in row["folds"]}


def chosen(rows: Rows, pairs: list[str]) -> dict[str, Any]:
    """The row that the rule takes by `pairs` alone."""
    rows = [row for row in rows if "answer: mean" not in row["name"]]
    by = [[values_of(row)[pair] for pair in pairs] for row in rows]
    worst, mean = np.array([min(v) for v in by]), np.array([np.mean(v) for v in by])
    kept = worst >= worst.max() - NOISE
    kept &= mean >= mean[kept].max() - NOISE
    home = np.array([row["macro_f1"] for row in rows])
    kept &= home >= home[kept].max() - HOME
    return rows[int(np.argmax(np.where(kept, worst, -1)))]


def nested(rows: Rows) -> dict[str, Any]:
    """`sources`: choice without a source of covid; `pairs`: without both sources. Fold -> row chosen, its AUROC."""
    folds = list(values_of(rows[0]))
    found: dict[str, Any] = {"sources": {}, "pairs": {}}
    for fold in folds:
        covid, normal = fold.split("+")
        others = {"sources": [f for f in folds if f.split("+")[0] != covid],
                  "pairs": [f for f in folds if f.split("+")[0] != covid and f.split("+")[1] != normal]}  # fmt: skip
        for way, pairs in others.items():
            row = chosen(rows, pairs)
            found[way][fold] = {"row": row["name"], "auroc": values_of(row)[fold]}
    for way in ("sources", "pairs"):
        reached = [it["auroc"] for it in found[way].values()]
        found[f"{way}_worst"], found[f"{way}_mean"] = min(reached), float(np.mean(reached))
    return found


def told(rows: Rows) -> list[str]:
    """The choice in words."""
    row, inner = chosen(rows, list(values_of(rows[0]))), nested(rows)
    v = values_of(row).values()
    lines = [
        f"By the rule of `experiments/heads/choice.py` (worst pair, then mean, each within {NOISE:g} of the best, then",
        f"known sources) the {len(rows)} heads give **{row['name']}**: worst pair {min(v):.3f}, mean",
        f"{np.mean(list(v)):.3f}, known sources {row['macro_f1']:.3f}. That is the best of many. The same rule where",
        "the choice cannot see what is told:",
        "",
        "| choice made on | told on | worst | mean | rows chosen |",
        "|---|---|---|---|---|",
        f"| all six pairs | the same six | {min(v):.3f} | {np.mean(list(v)):.3f} | {row['name']} |",
    ]
    for way, text in (("sources", "four pairs, without a source of covid | the two pairs with it"),
                      ("pairs", "two pairs that share no source | the pair left")):  # fmt: skip
        names = sorted({it["row"] for it in inner[way].values()})
        lines.append(f"| {text} | {inner[way + '_worst']:.3f} | {inner[way + '_mean']:.3f} | {'; '.join(names)} |")
    return lines
