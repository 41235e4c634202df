"""Round probabilities to the precision that the calibration of a network supports."""

from collections.abc import Mapping
from typing import Any

_STEPS = (0.01, 0.02, 0.05, 0.1, 0.2)


def supported_step(facts: Mapping[str, Any]) -> float:
    """Return the smallest of the usual steps that is not below the calibration error of a bundle, 0.01..0.2.

    The error is the expected calibration error (Guo and others 2017): the larger of those on the test and on the
    calibration part. A bundle that states none gives 0.01.
    """
    stated = [
        (facts.get("metrics") or {}).get("ece", {}).get("value"),
        ((facts.get("calibration") or {}).get("after") or {}).get("ece"),
    ]
    error = max((float(value) for value in stated if value is not None), default=0.0)
    return next((step for step in _STEPS if step >= error), _STEPS[-1])


def round_to(value: float, *, step: float) -> float:
    """Round a probability (0..1) to a multiple of the step, but never to 0 or 1: to half a step from them."""
    return round(min(max(round(value / step) * step, step / 2), 1 - step / 2), 6)


def in_words(value: float, *, step: float) -> str:
    """Write a probability (0..1) as a rounded percentage: `about 80%`, `over 95%`, `under 5%`."""
    rounded = round_to(value, step=step)
    word = "under" if rounded < step else "over" if rounded > 1 - step else "about"
    return f"{word} {100 * rounded:g}%"
