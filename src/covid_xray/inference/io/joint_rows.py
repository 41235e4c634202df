"""Write a joint prediction as plain data and as cells of a row of `results`."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from covid_xray import clinical
from covid_xray.inference.finding import Joint


def joint_as_dict(joint: Joint) -> dict[str, Any]:
    """Write a joint prediction as plain data, numbers rounded to six digits."""
    return {
        "label": joint.label,
        "probabilities": _rounded(joint.probabilities),
        "prediction_set": None if joint.prediction_set is None else list(joint.prediction_set),
        "reasons": list(joint.reasons),
        "known": {name: plain(name, value) for name, value in joint.known.items()},
        "unused": dict(joint.unused),
        "contributions": {name: _rounded(change) for name, change in joint.contributions.items()},
        "remarks": list(joint.remarks),
    }


def plain(name: str, value: float) -> float | str | bool:
    """Return a value as it would be given: `F`, true, 63.0."""
    field = clinical.BY_NAME[name]
    if not field.codes:
        return value
    return clinical.shown(name, value) if name == "sex" else bool(value)


def joint_columns(classes: Sequence[str]) -> list[str]:
    """Return the additional columns of the CSV form."""
    names = [f"joint_p_{name}" for name in classes]
    return ["joint_label", *names, "joint_prediction_set", "joint_reasons", "known", "unused", "contributions"]


def joint_cells(facts: Mapping[str, Any] | None, classes: Sequence[str]) -> list[str]:
    """Return the values of `joint_columns` for a `joint_as_dict`, or as many empty cells."""
    if facts is None:
        return [""] * len(joint_columns(classes))
    return [
        facts["label"],
        *(str(facts["probabilities"][name]) for name in classes),
        "|".join(facts["prediction_set"] or []),
        "; ".join(facts["reasons"]),
        *(json.dumps(facts[name], ensure_ascii=False) if facts[name] else "" for name in ("known", "unused")),
        json.dumps(facts["contributions"]) if facts["contributions"] else "",
    ]


def describe_joint(joint: Joint) -> tuple[str, ...]:
    """Describe which fields moved the most probable class of a joint prediction, and by how much."""
    top = max(joint.probabilities, key=joint.probabilities.__getitem__)
    changes = sorted(joint.contributions.items(), key=lambda item: -abs(item[1][top]))
    words = [f"{clinical.BY_NAME[name].title} {100 * by[top]:+.1f}" for name, by in changes if abs(by[top]) >= 0.0005]
    unused = [clinical.BY_NAME[name].title for name in joint.unused]
    lines = [f"{top} moved by {', '.join(words)} points"] if words else []
    lines += [f"not used: {', '.join(unused)}"] if unused else []
    return (*lines, *joint.remarks)


def _rounded(values: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, 6) for name, value in values.items()}
