"""Read the output of a network that decides in two steps: is this lung ill, and with which illness."""

from collections.abc import Mapping

from covid_xray.bundle.contents import Contents
from covid_xray.inference.finding import LungFacts
from covid_xray.inference.lungs import Lungs

LUNGS_NOT_FOUND = "the lungs were not found, and this network looks at nothing else"
LEAST_KNOWN = 0.5  # least share of P(ill) for the illnesses that the network knows, where the bundle has none


def probability_ill(probabilities: Mapping[str, float], contents: Contents) -> float | None:
    """Compute the probability that the lungs are ill at all, 0..1; `None` for a network that decides in one step.

    Args:
        probabilities: class to calibrated probability.
        contents: of `bundle.json`: `well` is the healthy class of a two-step network.
    """
    well = contents.well
    return None if well is None else 1.0 - probabilities[well]


def two_step_reasons(
    probabilities: Mapping[str, float],
    known: float | None,
    contents: Contents,
    *,
    lungs: Lungs | LungFacts | None,
) -> tuple[str, ...]:
    """Explain why a two-step network gives no label; empty where it does, and for any other network.

    Args:
        probabilities: class to calibrated probability.
        known: share of P(ill) for the illnesses that the network knows, 0..1; `None` where it has no such output.
        contents: of the bundle: `well`, and `least_known` where it was fitted.
        lungs: the lungs, if the bundle finds them.
    """
    if contents.input.crop == "lungs-only" and (lungs is None or not lungs.plausible):
        return (LUNGS_NOT_FOUND,)
    well = contents.well
    if well is None or known is None:
        return ()
    ill = max(probabilities, key=probabilities.__getitem__) != well
    if ill and known < (LEAST_KNOWN if contents.least_known is None else contents.least_known):
        names = " or ".join(name for name in probabilities if name != well)
        return (f"the lungs look ill, but not with {names}, the illnesses that this network knows",)
    return ()
