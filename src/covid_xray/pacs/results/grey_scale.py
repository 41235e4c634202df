"""Describe in a presentation state the grey levels that the network saw: a linear window, else a lookup table."""

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.valuerep import format_number_as_ds

from covid_xray.images import greyscale
from covid_xray.pacs.source_object import Original

_GREY_SCALE = (
    *("ModalityLUTSequence", "RescaleSlope", "RescaleIntercept", "RescaleType"),
    *("VOILUTSequence", "WindowCenter", "WindowWidth", "WindowCenterWidthExplanation", "VOILUTFunction"),
)
_EXPLANATION = "As the network saw it"
_SIGNED_LIMIT, _WHITE = 0x8000, 0xFFFF
_Values = NDArray[np.float64]


def without_grey_scale(dataset: Dataset) -> Dataset:
    """Copy tags without those that map stored values to grey levels."""
    kept = Dataset()
    for element in dataset:
        if element.keyword not in _GREY_SCALE:
            kept.add(element)
    return kept


def set_grey_scale(state: Dataset, original: Original) -> None:
    """Set modality, VOI and presentation LUT of a presentation state to how the radiograph was read.

    A linear window that gives the same grey levels is written as such, so that viewers can adjust it. Anything else
    (lookup tables, SIGMOID, LINEAR_EXACT) becomes one table from stored value to grey level.
    """
    tags = original.tags.dataset
    table, stored = _read_table(original)
    slope, intercept = (greyscale.number(tags, name) for name in ("RescaleSlope", "RescaleIntercept"))
    values = stored * (slope or 1.0) + (intercept or 0.0)
    item, inverted = Dataset(), greyscale.is_inverted(tags)
    window = _linear_window(tags, table, values, inverted=inverted)
    if window:
        item.WindowCenter, item.WindowWidth = (format_number_as_ds(value) for value in window)
        if slope or intercept:
            state.RescaleSlope, state.RescaleIntercept = (
                format_number_as_ds(value) for value in (slope or 1.0, intercept or 0.0)
            )
            state.RescaleType = tags.get("RescaleType") or "US"
    else:
        item.VOILUTSequence = [_lookup_table(table, first=int(stored[0]))]
    state.SoftcopyVOILUTSequence = [item]
    state.PresentationLUTShape = "INVERSE" if window and inverted else "IDENTITY"


def _read_table(original: Original) -> tuple[greyscale.Table, _Values]:
    """Return the grey level of each stored value, lowest value first, and these values."""
    tags = original.tags.dataset
    bits, signed = int(tags.BitsStored), int(tags.get("PixelRepresentation") or 0) == 1
    used = None if greyscale.has_voi(tags) else _used_range(original, stored=bits)
    inverted = greyscale.is_inverted(tags)
    table = greyscale.grey_table(tags, bits=bits, signed=signed, inverted=inverted, used=used)
    half = (1 << (bits - 1)) if signed else 0
    stored = np.arange(1 << bits, dtype=np.float64) - half
    return greyscale.Table(np.roll(table.levels, half), table.bits), stored


def _used_range(original: Original, *, stored: int) -> tuple[int, int] | None:
    """Return the range of an image without a window as it was read: fewer bits than stated.

    Signed pixels of fewer bits are taken to be positive, which the reader knows and the radiograph does not tell.
    """
    bits = original.radiograph.bits
    return (0, 2**bits - 1) if bits < stored else None


def _linear_window(
    tags: Dataset, table: greyscale.Table, values: _Values, *, inverted: bool
) -> tuple[float, float] | None:
    """Return centre and width of the linear window that gives the levels of the table; `None` where none does."""
    inside = values[(table.levels > 0) & (table.levels < 2**table.bits - 1)]
    low, high = (float(inside.min()) - 1, float(inside.max()) + 1) if len(inside) else (0.0, 0.0)
    centre, width = greyscale.window(tags) or ((low + high + 1) / 2, high - low + 1)
    if width < 1:  # PS3.3 C.11.2.1.2 knows no other
        return None
    shown = greyscale.apply_window(values, centre=centre, width=width)
    levels = np.rint((1 - shown if inverted else shown) * (2**table.bits - 1))
    same = np.abs(levels - table.levels) <= 1
    return (centre, width) if same.all() else None


def _lookup_table(table: greyscale.Table, *, first: int) -> Dataset:
    """Make the table, its output widened to 16 bits: presentation states have 8 or 16, and some readers assume so."""
    item, words = Dataset(), [len(table.levels) & 0xFFFF, first, 16]
    levels = np.rint(table.levels.astype(np.float64) * (_WHITE / (2**table.bits - 1)))
    if first < 0 and words[0] >= _SIGNED_LIMIT:
        words[0] -= 2 * _SIGNED_LIMIT  # the same 16 bits
    item.add_new("LUTDescriptor", "SS" if first < 0 else "US", words)
    item.LUTExplanation = _EXPLANATION
    item.add_new("LUTData", "OW", levels.astype("<u2").tobytes())
    return item
