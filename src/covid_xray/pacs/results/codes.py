"""Map classes and measurements to coded concepts: SNOMED CT (SCT) or UCUM, else our own scheme 99COVIDXRAY."""

import re
from typing import TYPE_CHECKING

from covid_xray.inference.finding import CANNOT_SAY

if TYPE_CHECKING:
    from pydicom.sr.coding import Code

SCHEME = "99COVIDXRAY"
_SH_LENGTH, _LO_LENGTH = 16, 64  # characters
_SNOMED = {
    "covid": ("840539006", "COVID-19"),
    "virus": ("75570004", "Viral pneumonia"),
    "normal": ("17621005", "Normal"),
    CANNOT_SAY: ("82334004", "Indeterminate"),
}


def finding_code(label: str) -> "Code":
    """Return the concept of a class or of `cannot say`."""
    from pydicom.sr.coding import Code

    if label in _SNOMED:
        value, meaning = _SNOMED[label]
        return Code(value, "SCT", meaning)
    return private_code(label, meaning=label)


def private_code(value: str, *, meaning: str) -> "Code":
    """Return a concept of our own scheme."""
    from pydicom.sr.coding import Code

    cleaned = re.sub(r"[^A-Za-z0-9_.-]", "-", value)[:_SH_LENGTH] or "unnamed"
    return Code(cleaned, SCHEME, meaning[:_LO_LENGTH])


def probability_code(label: str) -> "Code":
    """Return the concept of the calibrated probability of a class."""
    return private_code(f"p-{label}", meaning=f"Calibrated probability of {finding_code(label).meaning}")


def ratio_unit() -> "Code":
    """Return the unit of a number between 0 and 1."""
    from pydicom.sr.coding import Code

    return Code("1", "UCUM", "no units")


def procedure_code() -> "Code":
    """Return the concept of the reported procedure."""
    from pydicom.sr.coding import Code

    return Code("399208008", "SCT", "Plain chest X-ray")
