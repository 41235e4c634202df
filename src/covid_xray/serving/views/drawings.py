"""Draw the radiograph of a stored study and its heat maps as PNG."""

import io
from collections.abc import Collection
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from covid_xray.errors import InputRefused
from covid_xray.images.radiograph import Radiograph
from covid_xray.inference.finding import CANNOT_SAY
from covid_xray.inference.heatmap import Caption, annotate, normalise, outlined, overlay, ramp
from covid_xray.inference.heatmap_files import display
from covid_xray.store.records import Study
from covid_xray.store.store import Store

LONGEST = 2048  # default of the longer side, in pixels
_NARROWEST = 1e-5  # narrowest window as a share of white; below one of 65,536 levels
_SMALL = 1024  # pixels a side, up to which a smaller file is worth the time
Form = Literal["layer", "overlay", "picture"]


def image_png(store: Store, study: Study, *, longest: int = LONGEST, low: float = 0.0, high: float = 1.0) -> bytes:
    """Draw the radiograph as 8-bit grey PNG.

    Args:
        store, study: the study to draw.
        longest: largest height and width in pixels; a smaller radiograph is not enlarged.
        low, high: window of the file's 8..16 bits: the shares of its white that become black and white.

    Raises:
        NotFound: the study has been deleted.
        InputRefused: `low` is not below `high` (`bad-window`).
    """
    if high - low < _NARROWEST:
        raise InputRefused("The window is empty. Send `low` below `high`.", code="bad-window")
    radiograph = store.radiograph(study)
    if (low, high) != (0.0, 1.0):
        radiograph = _windowed(radiograph, low=low, high=high)
    return _png(Image.fromarray(display(radiograph, longest=longest)))


def heatmap_png(
    store: Store, study: Study, *, shown: str | None, form: Form = "layer", longest: int = LONGEST
) -> bytes:
    """Draw the heat map of one class.

    Args:
        store, study: the study to draw.
        shown: the class; `None` for the most probable one.
        form: `layer` is a palette picture of the size of `image_png`, transparent where the map is zero; `overlay` is
            the radiograph with the map and a frame around the part the network saw; `picture` adds a colour bar and a
            caption.
        longest: as in `image_png`.

    Raises:
        NotFound: the study has been deleted.
        InputRefused: `shown` is no class of the study (`no-such-class`).
    """
    classes = list(study.probabilities)
    check_class(classes, shown)
    name = shown if shown is not None else most_probable(study)
    class_map = store.class_maps(study)[classes.index(name)]
    grey = display(store.radiograph(study), longest=longest)
    if form == "layer":
        return _png(_layer(class_map, height=grey.shape[0], width=grey.shape[1]))
    top, left, bottom, right = study.finding["region"]
    drawn = outlined(overlay(grey, class_map), (top, left, bottom, right))
    if form == "overlay":
        return _png(Image.fromarray(drawn))
    return _png(annotate(drawn, _caption(study, name), evidence=has_evidence(class_map)))


def check_class(classes: Collection[str], shown: str | None) -> None:
    """Raise `InputRefused` (`no-such-class`) when `shown` is neither a class nor `None`."""
    if shown is not None and shown not in classes:
        raise InputRefused(f"No such class. Choose one of {', '.join(classes)}.", code="no-such-class")


def most_probable(study: Study) -> str:
    """Return the class with the largest probability; the first one when there are no numbers."""
    return max(study.probabilities, key=lambda name: study.probabilities[name] or 0.0)


def has_evidence(class_map: NDArray[np.float32]) -> bool:
    """Say whether a class map has any positive value."""
    return normalise(class_map, height=4, width=4) is not None


def _caption(study: Study, name: str) -> Caption:
    reasons = study.finding["reasons"]
    return Caption(
        shown=name,
        probability=None if study.label == CANNOT_SAY else study.probabilities[name] or 0.0,
        model=f"{study.model.name} {study.model.version}",
        note=f"{study.label}: {'; '.join(reasons)}" if reasons else "",
        lungs=study.finding["lungs_in_words"],
    )


def _layer(class_map: NDArray[np.float32], *, height: int, width: int) -> Image.Image:
    strength = normalise(class_map, height=height, width=width)
    levels = np.zeros((height, width), np.uint8) if strength is None else (strength * 255).astype(np.uint8)
    picture = Image.frombytes("P", (width, height), levels.tobytes())
    picture.putpalette(ramp().tobytes())
    # As in `overlay`, opacity grows with the map; the viewer sets the opacity of the whole layer.
    picture.info["transparency"] = bytes(min(255, round(1.6 * level)) for level in range(256))
    return picture


def _windowed(radiograph: Radiograph, *, low: float, high: float) -> Radiograph:
    white = 2**radiograph.bits - 1
    shares = (radiograph.pixels.astype(np.float32) / white - low) / (high - low)
    pixels = np.rint(np.clip(shares, 0, 1) * 255).astype(np.uint8)
    return Radiograph(pixels, bits=8, source=radiograph.source)


def _png(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "PNG", compress_level=7 if max(image.size) <= _SMALL else 1)
    return stream.getvalue()
