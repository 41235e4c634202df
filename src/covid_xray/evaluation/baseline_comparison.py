"""The content of baselines.json in, what the network must beat out: scores that were reached without seeing a lung."""

from collections.abc import Mapping, Sequence
from typing import Any

from covid_xray.errors import BadManifest

COMPARED = "macro_f1"


def compared(baselines: Mapping[str, Any] | None, classes: Sequence[str]) -> dict[str, Any] | None:
    """The baselines as `metrics.json` and the report hold them; `None` where none were measured.

    Args:
        baselines: content of the baselines.json that `covid-xray baselines` writes.
        classes: of the network; baselines of other classes are no yardstick and are refused.

    Returns:
        `rows` (each `name`, `sees`, `without_lungs`, `figures`), `best` (the row without lungs with the highest
        macro-F1), `images` (how many they were measured on), `fingerprint` of those.

    Raises:
        BadManifest: content of another kind, or baselines of other classes.
    """
    if baselines is None:
        return None
    try:
        rows = [_row(row) for row in baselines["rows"]]
        told = sorted(baselines["classes"])
        blind = [row for row in rows if row["without_lungs"]]
        best = max(blind, key=lambda row: row["figures"][COMPARED]["value"])
        facts = {"images": int(baselines["images"]), "fingerprint": str(baselines["fingerprint"])}
    except (KeyError, TypeError, ValueError, AttributeError):
        raise BadManifest("expected the content of a baselines.json. Received: something else") from None
    if told != sorted(classes):
        raise BadManifest(
            f"expected baselines of the classes {', '.join(sorted(classes))}. Received: {', '.join(map(str, told))}"
        )
    return {"rows": rows, "best": best, **facts}


def _row(row: Mapping[str, Any]) -> dict[str, Any]:
    figures = {
        str(name): {key: float(score[key]) for key in ("value", "ci_low", "ci_high")}
        for name, score in row["scores"].items()
    }
    return {
        "name": str(row["name"]),
        "sees": str(row["sees"]),
        "without_lungs": bool(row["without_lungs"]),
        "figures": figures,
    }
