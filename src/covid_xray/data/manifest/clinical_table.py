"""Read the clinical columns of a manifest as numbers, and list the cells that are refused.

Columns are found by the names and aliases of `clinical.FIELDS`. Nothing is converted: a temperature in Fahrenheit is
refused.
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
        refused: `image`, `field`, `reason` of every refused cell.
        columns: the fields that have a column.
    """

    values: NDArray[np.float32]
    refused: pd.DataFrame
    columns: tuple[str, ...]

    @property
    def known(self) -> NDArray[np.bool_]:
        """N x F booleans: the cells that hold a value."""
        return ~np.isnan(self.values)

    def record(self, row: int) -> clinical.Record:
        """Return the stated values of one row."""
        return {name: float(v) for name, v in zip(NAMES, self.values[row], strict=True) if not np.isnan(v)}


def clinical_table(table: pd.DataFrame) -> ClinicalTable:
    """Read the clinical values of a manifest's table.

    Refused, suspiciously rare (`clinical.remarks`) and contradictory values are left out and listed in `refused`.
    """
    columns = {name: column for column, name in clinical.COLUMNS.items() if column in table}
    values = np.full((len(table), len(NAMES)), np.nan, np.float32)
    refused: list[tuple[str, str, str]] = []
    images = table["image"].tolist()
    for name, column in columns.items():
        for row, cell in enumerate(table[column].tolist()):
            value, reason = _read_cell(name, cell)
            if reason:
                refused.append((images[row], name, reason))
            elif value is not None:
                values[row, NAMES.index(name)] = value
    refused += _remove_contradictions(values, images)
    frame = pd.DataFrame(refused, columns=["image", "field", "reason"], dtype=str)
    return ClinicalTable(values, frame, tuple(name for name in NAMES if name in columns))


def patterns(known: NDArray[np.bool_]) -> NDArray[np.str_]:
    """Return the stated fields of each of N rows as text: `age sex`, "" for none."""
    names = np.array(NAMES)
    return np.array([" ".join(names[row]) for row in known], dtype=np.str_)


def _read_cell(name: str, cell: object) -> tuple[float | None, str]:
    try:
        value = clinical.read(clinical.BY_NAME[name], cell)
    except InputRefused as error:
        return None, error.message
    doubts = clinical.remarks({name: value}) if value is not None and name == "spo2" else ()
    return (None, doubts[0]) if doubts else (value, "")


def _remove_contradictions(values: NDArray[np.float32], images: list[str]) -> list[tuple[str, str, str]]:
    """Remove contradictory blood counts from `values`, all three since the wrong one is unknown; return them."""
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
