"""Two columns in, how much one tells of the other out: Cramer's V, and the share that one guesses of the other."""

import numpy as np
import pandas as pd


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
