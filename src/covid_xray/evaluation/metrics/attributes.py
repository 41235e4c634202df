"""Assign each tested image to a group by sex, age, view, source, vendor and image size.

Spelling and units are normalised; a value that cannot be parsed counts as not stated.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from covid_xray.data.manifest.tables import UNKNOWN, number_column

AGES = ((0, "0 to 5"), (6, "6 to 17"), (18, "18 to 39"), (40, "40 to 59"), (60, "60 to 74"), (75, "75 and over"))
OLDEST = 120.0  # years; more is a slip of the pen or another unit
SIZES = ((0, "under 512 x 512"), (512, "512 x 512 and more"), (1024, "1024 x 1024 and more"),
         (2048, "2048 x 2048 and more"))  # fmt: skip
YEARS = {"": 1.0, "y": 1.0, "m": 1 / 12, "w": 7 / 365.25, "d": 1 / 365.25}  # of DICOM's age strings: 045Y, 006M
SEXES = {"f": "female", "female": "female", "w": "female", "m": "male", "male": "male", "o": "other", "other": "other"}
VENDOR = ("vendor", "manufacturer", "file_manufacturer", "file_vendor")
WIDTH, HEIGHT = ("width", "file_width"), ("height", "file_height")


@dataclass(frozen=True, eq=False)
class Attribute:
    """One attribute that divides N images into groups."""

    name: str  # key in metrics.json
    title: str  # for people
    groups: NDArray[np.object_]  # N group names, "" where not stated
    order: tuple[str, ...]  # the groups that occur, in the order to list them


def read_attributes(table: pd.DataFrame) -> list[Attribute]:
    """Return every known attribute; an attribute absent from the table has no groups.

    Args:
        table: N rows of text; any of the columns sex, age, view, source, vendor or manufacturer, width, height.
    """
    return [
        _attribute("sex", "sex", _mapped(table, ("sex",), lambda text: SEXES.get(text.casefold(), ""))),
        _attribute("age", "age in years", [_age_band(text) for text in _texts(table, ("age",))], AGES),
        _attribute("view", "view", _mapped(table, ("view",), _view)),
        _attribute("source", "source", _texts(table, ("source",))),
        _attribute("vendor", "vendor", _mapped(table, VENDOR, str.upper)),
        _attribute("size", "image size", _sizes(table), SIZES),
    ]


def _attribute(name: str, title: str, groups: Sequence[str], bands: Sequence[tuple[int, str]] = ()) -> Attribute:
    found = set(groups) - {""}
    order = tuple(band for _, band in bands if band in found) if bands else tuple(sorted(found))
    return Attribute(name, title, np.array(groups, dtype=object), order)


def _texts(table: pd.DataFrame, columns: Sequence[str]) -> list[str]:
    """Return the first of `columns` that has any value; "unknown" and similar words count as empty."""
    for column in columns:
        if column in table:
            texts = [" ".join(str(value).split()) for value in table[column]]
            known = ["" if text.casefold() in UNKNOWN else text for text in texts]
            if any(known):
                return known
    return [""] * len(table)


def _mapped(table: pd.DataFrame, columns: Sequence[str], name: Callable[[str], str]) -> list[str]:
    return [name(text) if text else "" for text in _texts(table, columns)]


def _age_band(text: str) -> str:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([ymwd]?)(?:ears?|onths?|eeks?|ays?)?", text.casefold())
    if not match:
        return ""
    years = float(match[1]) * YEARS[match[2]]
    return _band(years, AGES) if years <= OLDEST else ""


def _view(text: str) -> str:
    """Normalise case, so that `AP SUPINE` and `AP Supine` are one view."""
    return " ".join(word.upper() if len(word) <= 3 else word.lower() for word in text.replace("_", " ").split())


def _sizes(table: pd.DataFrame) -> list[str]:
    """Return size bands by the side of a square with as many pixels as the image."""
    for width, height in zip(WIDTH, HEIGHT, strict=True):
        pixels = number_column(table, width) * number_column(table, height)
        if pixels.gt(0).any():
            return [_band(float(np.sqrt(count)), SIZES) if count > 0 else "" for count in pixels]
    return [""] * len(table)


def _band(value: float, bands: Sequence[tuple[int, str]]) -> str:
    return next(name for start, name in reversed(bands) if value >= start)
