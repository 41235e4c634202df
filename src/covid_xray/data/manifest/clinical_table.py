"""The clinical columns of a manifest in, numbers with gaps out; what cannot be one is left out and listed.

A table's columns are read by the names and aliases of `clinical.FIELDS`. Nothing is converted: a temperature in
Fahrenheit is refused with its reason, not mended.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from covid_xray import clinical
from covid_xray.errors import InputRefused

NAMES = tuple(clinical.BY_NAME)


@dataclass(frozen=True, eq=False)
class ClinicalTable:
    """Clinical values of N images.

    Args:
        values: N x F float32 in the order of `NAMES`, NaN where absent.
        refused: `image`, `field`, `reason` of every cell that was left out.
        columns: the fields that the table has a column for.
    """

    values: NDArray[np.float32]
    refused: pd.DataFrame
    columns: tuple[str, ...]

    @property
    def known(self) -> NDArray[np.bool_]:
        """N x F, which cells hold a value."""
        return ~np.isnan(self.values)

    def record(self, row: int) -> clinical.Record:
        """What is stated in one row."""
        return {name: float(v) for name, v in zip(NAMES, self.values[row], strict=True) if not np.isnan(v)}


def clinical_table(table: pd.DataFrame) -> ClinicalTable:
    """The clinical values of a manifest's table.

    A value that is refused, or so rare that `clinical.remarks` asks about it, is left out: in a table of many patients
    it is more often a mistake. So are blood counts that contradict each other.
    """
    columns = {name: column for column, name in clinical.COLUMNS.items() if column in table}
    values = np.full((len(table), len(NAMES)), np.nan, np.float32)
    refused: list[tuple[str, str, str]] = []
    images = table["image"].tolist()
    for name, column in columns.items():
        for row, cell in enumerate(table[column].tolist()):
            value, reason = _value(name, cell)
            if reason:
                refused.append((images[row], name, reason))
            elif value is not None:
                values[row, NAMES.index(name)] = value
    refused += _contradictions(values, images)
    frame = pd.DataFrame(refused, columns=["image", "field", "reason"], dtype=str)
    return ClinicalTable(values, frame, tuple(name for name in NAMES if name in columns))


def patterns(known: NDArray[np.bool_]) -> NDArray[np.str_]:
    """For each of N rows which fields it states, as text: `age sex`, "" for none."""
    names = np.array(NAMES)
    return np.array([" ".join(names[row]) for row in known], dtype=np.str_)


def _value(name: str, cell: object) -> tuple[float | None, str]:
    try:
        value = clinical.read(clinical.BY_NAME[name], cell)
    except InputRefused as error:
        return None, error.message
    doubts = clinical.remarks({name: value}) if value is not None and name == "spo2" else ()
    return (None, doubts[0]) if doubts else (value, "")


def _contradictions(values: NDArray[np.float32], images: list[str]) -> list[tuple[str, str, str]]:
    """Rows whose blood counts do not fit; all three are taken out, since nobody knows which is wrong."""
    found = []
    counts = [NAMES.index(name) for name in ("leukocytes", "neutrophils", "lymphocytes")]
    for row in np.flatnonzero(~np.isnan(values[:, counts[0]])):
        known = {NAMES[k]: float(values[row, k]) for k in counts if not np.isnan(values[row, k])}
        try:
            clinical.check_counts(known)
        except InputRefused as error:
            found += [(images[row], name, error.message) for name in known]
            values[row, counts] = np.nan
    return found
