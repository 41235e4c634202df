"""Map classes and measurements to coded concepts: SNOMED CT (SCT) or UCUM, else our own scheme 99COVIDXRAY."""

import re
from collections.abc import Iterable

from pydicom.sr.coding import Code

from covid_xray.inference.finding import CANNOT_SAY

SCHEME = "99COVIDXRAY"
NORMAL, NOT_ANALYSED = "normal", "not analysed"
PROCEDURE = Code("399208008", "SCT", "Plain chest X-ray")
RATIO = Code("1", "UCUM", "no units")
_SH_LENGTH, _LO_LENGTH = 16, 64  # characters
_SNOMED = {
    "covid": ("840539006", "COVID-19"),
    "virus": ("75570004", "Viral pneumonia"),
    CANNOT_SAY: ("82334004", "Indeterminate"),
}


def finding_code(label: str, *, classes: Iterable[str]) -> Code:
    """Return the concept of one of the `classes` of a network, of `cannot say` or of `not analysed`.

    "normal" means only that no sign of the other classes was found: less than SNOMED CT's Normal (17621005).
    """
    if label == NORMAL:
        others = sorted(set(classes) - {NORMAL})
        return private_code(f"no-{'-'.join(others)}", meaning=f"No sign of {_join(others, 'or')} found")
    if label == NOT_ANALYSED:
        return private_code("not-analysed", meaning="Not analysed")
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
    meaning = _SNOMED.get(label, ("", label))[1]
    return private_code(f"p-{label}", meaning=f"Calibrated probability of {meaning}")


def describe_scope(classes: Iterable[str]) -> str:
    """Say what a network with these classes looks for."""
    return f"looks only for signs of {_join(sorted(set(classes) - {NORMAL}), 'and')}"


def _join(labels: list[str], word: str) -> str:
    names = [_SNOMED.get(label, ("", label))[1] for label in labels]
    names = [name if name.startswith("COVID") else name[:1].lower() + name[1:] for name in names]
    return f" {word} ".join(filter(None, (", ".join(names[:-1]), names[-1])))
