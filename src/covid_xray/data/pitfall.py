"""One known way to fool oneself with a data set: its verdict, its number, and what to do about it."""

import math
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Verdict(StrEnum):
    """PASS: nothing found. WARN: look at it, or it cannot be told. FAIL: a score on these data means little."""

    PASS = "PASS"  # noqa: S105  (not a password)
    WARN = "WARN"
    FAIL = "FAIL"


@dataclass(frozen=True)
class Pitfall:
    """The outcome of one check.

    Args:
        name: stable slug.
        question: what was asked, for people.
        verdict: PASS, WARN or FAIL.
        number: the measure, NaN when it cannot be told.
        measure: what the number is, with its unit.
        says: one or two sentences on what was found.
        advice: what to do; empty for PASS.
        examples: some images, patients or values to look at.
    """

    name: str
    question: str
    verdict: Verdict
    number: float
    measure: str
    says: str
    advice: str = ""
    examples: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Plain values for a JSON file; NaN is null."""
        return asdict(self) | {"number": None if math.isnan(self.number) else round(self.number, 4)}


def judged(number: float, *, warn: float, fail: float) -> Verdict:
    """FAIL above `fail`, WARN above `warn` or when the number cannot be told (NaN), else PASS."""
    if math.isnan(number):
        return Verdict.WARN
    if number > fail:
        return Verdict.FAIL
    return Verdict.WARN if number > warn else Verdict.PASS
