"""Reduce clinical.json of `covid-xray fuse` to its main figures, in place, before it is committed.

python scripts/summarise_clinical.py docs/results/clinical/clinical.json
"""

import json
import sys
from pathlib import Path
from typing import Any

from compact_json import rounded, write_compact_json

FIGURES = ("balanced_accuracy", "macro_f1", "auroc_macro", "nll")


def main() -> None:
    path = Path(sys.argv[1])
    write_compact_json(path, rounded(summary(json.loads(path.read_text(encoding="utf-8")))), width=200)


def summary(facts: dict[str, Any]) -> dict[str, Any]:
    """Network, counts, the main figures of every variant, and what missingness alone tells."""
    worth = facts["worth"]
    kept = {name: facts[name] for name in ("version", "model", "classes", "settings")}
    sets = {name: {**worth[name], "variants": variants(worth[name]["variants"])} for name in ("all", "stated")}
    return {**kept, "fields": worth["fields"], "missingness": worth["missingness"], **sets}


def variants(found: dict[str, Any]) -> dict[str, Any]:
    """The main figures of each variant and their difference from the image's."""
    return {
        name: {
            "sees": variant["sees"],
            **{
                part: {figure: variant[part][figure] for figure in FIGURES if figure in variant[part]}
                for part in ("figures", "minus_image")
                if part in variant
            },
        }
        for name, variant in found.items()
    }


if __name__ == "__main__":
    main()
