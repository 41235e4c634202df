"""Compare calibrated probabilities with the stored operating points; plain Python only.

The points are chosen by `evaluation.metrics.operating_points` and stored in `bundle.json` under `operating_points`:
class -> `sha256` of the network, and `points` (name to facts with a `threshold`, or with none and a `reason`).
"""

from collections.abc import Mapping

from covid_xray.bundle.contents import OperatingPoints

POINTS = ("rule-out", "balanced", "rule-in")


def passed(
    probabilities: Mapping[str, float], stored: Mapping[str, OperatingPoints] | None, *, sha256: str
) -> dict[str, dict[str, bool]] | None:
    """Decide for each class with operating points whether its probability reaches the threshold of each point.

    Args:
        probabilities: class to calibrated probability.
        stored: `operating_points` of `bundle.json`.
        sha256: of the bundle's `model.onnx`; points that were chosen on another network do not count.

    Returns:
        class -> name of the point -> reached or not, without the points that have no threshold; `None` where the
        bundle has none at all. Below `rule-out` speaks against the class, reaching `rule-in` for it.
    """
    found = {
        name: {point: probabilities[name] >= it.threshold for point, it in about.points.items()
               if it.threshold is not None}
        for name, about in (stored or {}).items()
        if about.sha256 == sha256 and name in probabilities
    }  # fmt: skip
    return found or None
