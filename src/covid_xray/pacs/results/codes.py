"""Classes of the network in, the coded concepts that a structured report names them by out.

Concepts of SNOMED CT (SCT), DICOM (DCM) and UCUM where there is one; the rest are of a scheme of our own, 99COVIDXRAY.
"""

import re
from typing import TYPE_CHECKING

from covid_xray.inference.finding import CANNOT_SAY

if TYPE_CHECKING:
    from pydicom.sr.coding import Code

SCHEME = "99COVIDXRAY"
_LONGEST_VALUE, _LONGEST_MEANING = 16, 64  # characters of SH and LO
_SNOMED = {
    "covid": ("840539006", "COVID-19"),
    "virus": ("75570004", "Viral pneumonia"),
    "normal": ("17621005", "Normal"),
    CANNOT_SAY: ("82334004", "Indeterminate"),
}


def finding(label: str) -> "Code":
    """The concept of a class or of `cannot say`."""
    from pydicom.sr.coding import Code

    if label in _SNOMED:
        value, meaning = _SNOMED[label]
        return Code(value, "SCT", meaning)
    return own(label, meaning=label)


def own(value: str, *, meaning: str) -> "Code":
    """A concept of our own scheme."""
    from pydicom.sr.coding import Code

    cleaned = re.sub(r"[^A-Za-z0-9_.-]", "-", value)[:_LONGEST_VALUE] or "unnamed"
    return Code(cleaned, SCHEME, meaning[:_LONGEST_MEANING])


def probability(label: str) -> "Code":
    """The concept of the calibrated probability of a class."""
    return own(f"p-{label}", meaning=f"Calibrated probability of {finding(label).meaning}")


def ratio() -> "Code":
    """The unit of what lies between 0 and 1."""
    from pydicom.sr.coding import Code

    return Code("1", "UCUM", "no units")


def plain_chest_radiograph() -> "Code":
    """The procedure that is reported on."""
    from pydicom.sr.coding import Code

    return Code("399208008", "SCT", "Plain chest X-ray")
