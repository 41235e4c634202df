"""One known way to fool oneself with a data set: its verdict, its number, and what to do about it."""

import math
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import pandas as pd


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


def cramers_v(first: pd.Series, second: pd.Series) -> float:
    """Cramer's V of two text columns, 0 (nothing in common) to 1 (one tells the other), corrected for chance.

    Rows where either is "" are left out; NaN when fewer than two values of either are left. The correction is that of
    Bergsma, J. Korean Statistical Society 42 (2013) 323: without it many values in few rows look like association.
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


def guessed(target: pd.Series, clue: pd.Series) -> float:
    """Share of rows whose `target` is named rightly by who knows only `clue` (the commonest target of each value)."""
    table = pd.crosstab(clue.to_numpy(), target.to_numpy()).to_numpy()
    return float(table.max(axis=1).sum() / table.sum())
