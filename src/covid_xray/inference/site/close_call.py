"""Withhold a class that the thresholds or the prediction set of the same answer contradict.

The network's own label is its most probable class. People read it as a decision, so for pages, reports and the archive
it has to agree with the rest of the answer: the prediction set holds this class alone, its thresholds rule it in, and
every other class with thresholds is excluded by them. `evaluate` and `predict` keep the network's label.
"""

import dataclasses
from collections.abc import Mapping, Sequence

from covid_xray.inference.finding import CANNOT_SAY, Finding

CLOSE_CALL = "close call"


def settle(finding: Finding) -> Finding:
    """Return the finding, and its joint prediction, as "cannot say" where its parts disagree."""
    found = close_calls(finding.label, kept=finding.prediction_set, points=finding.operating_points)
    joint = finding.joint
    if joint and (contradicted := close_calls(joint.label, kept=joint.prediction_set, points=None)):
        finding = dataclasses.replace(finding, joint=dataclasses.replace(joint, label=CANNOT_SAY, reasons=contradicted))
    return dataclasses.replace(finding, label=CANNOT_SAY, reasons=found) if found else finding


def close_calls(
    label: str, *, kept: Sequence[str] | None, points: Mapping[str, Mapping[str, bool]] | None
) -> tuple[str, ...]:
    """List what speaks against a label; empty where nothing does, and for "cannot say".

    Args:
        label: the most probable class, or "cannot say".
        kept: prediction set; `None` without one.
        points: class to operating point to whether its probability reaches it; `None` without any.
    """
    if label == CANNOT_SAY:
        return ()
    found = [] if kept is None or label in kept else [f"{label} is too improbable for the prediction set"]
    for name, reached in (points or {}).items():
        if name == label and not reached.get("rule-in", reached.get("balanced", True)):
            found.append(f"{name} is the most probable class, but not ruled in")
        elif name != label and reached.get("rule-out", False):
            found.append(f"{label} is the most probable class, but {name} is not ruled out")
    return tuple(f"{CLOSE_CALL}: {words}" for words in found)
