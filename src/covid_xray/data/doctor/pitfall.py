"""Define the outcome of a data check, and the measures that several checks use."""

import math
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import pandas as pd


class Verdict(StrEnum):
    """PASS: nothing found. WARN: inspect it, or unknown. FAIL: a score on these data means little."""

    PASS = "PASS"  # noqa: S105  (not a password)
    WARN = "WARN"
    FAIL = "FAIL"


@dataclass(frozen=True)
class Pitfall:
    """Outcome of one check.

    Args:
        name: stable slug.
        question: the question for people; "yes" means no pitfall.
        verdict: PASS, WARN or FAIL.
        number: the measure, NaN when unknown.
        measure: name and unit of the number.
        says: one or two sentences on the findings.
        advice: what to do.
        examples: some images, patients or values to inspect.
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
        """Convert to plain values for JSON; NaN becomes null."""
        return asdict(self) | {"number": None if math.isnan(self.number) else round(self.number, 4)}


def judge(number: float, *, warn: float, fail: float) -> Verdict:
    """Return FAIL above `fail`, WARN above `warn` or for NaN, else PASS."""
    if math.isnan(number):
        return Verdict.WARN
    if number > fail:
        return Verdict.FAIL
    return Verdict.WARN if number > warn else Verdict.PASS


def cramers_v(first: pd.Series, second: pd.Series) -> float:
    """Return Cramer's V of two text columns, 0 (independent) to 1, corrected for chance.

    Rows where either is "" are left out; NaN with fewer than two values of either. Corrected as by Bergsma, J. Korean
    Statistical Society 42 (2013) 323: otherwise many values in few rows look like association.
    """
    known = (first != "").to_numpy() & (second != "").to_numpy()
    table = pd.crosstab(first.to_numpy()[known], second.to_numpy()[known]).to_numpy().astype(float)
    n = table.sum()
    if min(table.shape, default=0) < 2 or n < 3:
        return float("nan")
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0, keepdims=True) / n
    phi2 = float(((table - expected) ** 2 / expected).sum() / n)
    rows, columns = table.shape
    phi2 = max(0.0, phi2 - (rows - 1) * (columns - 1) / (n - 1))
    smaller = min(rows - (rows - 1) ** 2 / (n - 1), columns - (columns - 1) ** 2 / (n - 1)) - 1
    return float(min(1.0, np.sqrt(phi2 / smaller))) if smaller > 0 else float("nan")


def predictable_share(target: pd.Series, clue: pd.Series) -> float:
    """Return the share of rows whose `target` is the commonest one of their `clue`."""
    table = pd.crosstab(clue.to_numpy(), target.to_numpy()).to_numpy()
    return float(table.max(axis=1).sum() / table.sum())
