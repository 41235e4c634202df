"""Compare an accuracy with that of always answering the most frequent class: the no-information rate."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import ArrayLike

from covid_xray.evaluation.metrics.intervals import proportions


def compare_with_guessing(labels: Sequence[str], accuracy: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the most frequent class, its share, and a sentence where the network is no better (`schema.Guessing`).

    A network is better when the whole interval of its accuracy lies above the share.

    Args:
        labels: true classes of N images.
        accuracy: figure with `value`, `ci_low` and `ci_high`.

    Returns:
        `None` where all images are of one class, or where there are too few for an interval.
    """
    counts = Counter(labels)
    if len(counts) < 2 or accuracy["ci_low"] is None:
        return None
    label, count = min(counts.items(), key=lambda item: (-item[1], item[0]))
    rate = count / len(labels)
    better = accuracy["ci_low"] > rate
    ends = f"{accuracy['value']:.1%}, {accuracy['ci_low']:.1%} to {accuracy['ci_high']:.1%}"
    says = "" if better else f"By accuracy ({ends}) it is no better than always answering {label} ({rate:.1%})."
    return {"label": label, "rate": rate, "better": better, "says": says}


def guessing_of(labels: Sequence[str], right: ArrayLike, *, groups: ArrayLike | None = None) -> dict[str, Any] | None:
    """Return the same for answers that are `right` or not (N booleans), with an interval over `groups`."""
    found = proportions({"accuracy": (right, [True] * len(labels))}, groups=groups)
    return compare_with_guessing(labels, found["accuracy"].as_dict()) if found else None
