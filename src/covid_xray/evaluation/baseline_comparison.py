"""Read from baselines.json the scores that models without lungs reach."""

from collections.abc import Mapping, Sequence
from typing import Any

from covid_xray.errors import BadManifest

COMPARED = "macro_f1"


def check_baselines(baselines: Mapping[str, Any] | None, classes: Sequence[str]) -> dict[str, Any] | None:
    """Return the baselines as metrics.json holds them (`schema_base.Baselines`); `None` where none were measured.

    Args:
        baselines: content of the baselines.json that `covid-xray baselines` writes.
        classes: of the network; baselines of other classes are refused.

    Raises:
        BadManifest: content of another kind, or baselines of other classes.
    """
    if baselines is None:
        return None
    try:
        rows = [_row(row) for row in baselines["rows"]]
        known = sorted(baselines["classes"])
        blind = [row for row in rows if row["without_lungs"]]
        best = max(blind, key=lambda row: row["figures"][COMPARED]["value"])
        facts = {"images": int(baselines["images"]), "fingerprint": str(baselines["fingerprint"])}
    except (KeyError, TypeError, ValueError, AttributeError):
        raise BadManifest("Not a baselines.json. Give the one that covid-xray baselines wrote.") from None
    if known != sorted(classes):
        raise BadManifest(
            f"The baselines are of the classes {', '.join(map(str, known))}, the network of "
            f"{', '.join(sorted(classes))}. Give baselines of the same classes."
        )
    return {"rows": rows, "best": best, **facts}


def _row(row: Mapping[str, Any]) -> dict[str, Any]:
    figures = {
        str(name): {**{key: float(score[key]) for key in ("value", "ci_low", "ci_high")}, "n": int(score["n"])}
        for name, score in row["scores"].items()
    }
    return {
        "name": str(row["name"]),
        "sees": str(row["sees"]),
        "without_lungs": bool(row["without_lungs"]),
        "figures": figures,
    }
