"""Map classes and measurements to coded concepts: SNOMED CT (SCT) or UCUM, else our own scheme 99COVIDXRAY."""

import re

from pydicom.sr.coding import Code

from covid_xray.inference.finding import CANNOT_SAY

SCHEME = "99COVIDXRAY"
PROCEDURE = Code("399208008", "SCT", "Plain chest X-ray")
RATIO = Code("1", "UCUM", "no units")
_SH_LENGTH, _LO_LENGTH = 16, 64  # characters
_SNOMED = {
    "covid": ("840539006", "COVID-19"),
    "virus": ("75570004", "Viral pneumonia"),
    "normal": ("17621005", "Normal"),
    CANNOT_SAY: ("82334004", "Indeterminate"),
}


def finding_code(label: str) -> Code:
    """Return the concept of a class or of `cannot say`."""
    if label in _SNOMED:
        value, meaning = _SNOMED[label]
        return Code(value, "SCT", meaning)
    return private_code(label, meaning=label)


def private_code(value: str, *, meaning: str) -> Code:
    """Return a concept of our own scheme."""
    cleaned = re.sub(r"[^A-Za-z0-9_.-]", "-", value)[:_SH_LENGTH] or "unnamed"
    return Code(cleaned, SCHEME, meaning[:_LO_LENGTH])


def probability_code(label: str) -> Code:
    """Return the concept of the calibrated probability of a class."""
    return private_code(f"p-{label}", meaning=f"Calibrated probability of {finding_code(label).meaning}")
