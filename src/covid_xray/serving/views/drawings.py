"""A stored study in, pictures to look at out: the radiograph and its heat maps, drawn anew as PNG each time."""

import io
from collections.abc import Collection
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from covid_xray.errors import InputRefused
from covid_xray.images.radiograph import Radiograph
from covid_xray.inference.heatmap import Caption, annotate, normalise, outlined, overlay, ramp
from covid_xray.inference.heatmap_files import display
from covid_xray.store.records import Study
from covid_xray.store.store import Store

LONGEST = 2048  # pixels of the longer side, unless asked for
_NARROWEST = 1e-5  # of white: less than one of 65,536 levels
Form = Literal["layer", "overlay", "picture"]


def image_png(store: Store, study: Study, *, longest: int = LONGEST, low: float = 0.0, high: float = 1.0) -> bytes:
    """The radiograph as 8-bit grey PNG.

    Args:
        store: it lies there.
        study: whose.
        longest: pixels of the longer side; a smaller radiograph is not enlarged.
        low, high: what is black and what is white, in shares of the file's white (a window of all its 8..16 bits).

    Raises:
        NotFound: the study has gone.
        InputRefused: `low` is not below `high` (`bad-window`).
    """
    if high - low < _NARROWEST:
        raise InputRefused("expected low below high. Received: a window without width", code="bad-window")
    radiograph = store.radiograph(study)
    if (low, high) != (0.0, 1.0):
        radiograph = _windowed(radiograph, low=low, high=high)
    return _png(Image.fromarray(display(radiograph, longest=longest)))


def heatmap_png(
    store: Store, study: Study, *, shown: str | None, form: Form = "layer", longest: int = LONGEST
) -> bytes:
    """The heat map of one class.

    Args:
        store: it lies there.
        study: whose.
        shown: the class; `None` for the most probable one.
        form: `layer` is RGBA to lay over `image_png` of the same `longest`, transparent where the map is zero;
            `overlay` is the radiograph with the map, and a frame around what the network saw; `picture` has a colour
            bar and a caption too.
        longest: as in `image_png`.

    Raises:
        NotFound: the study has gone.
        InputRefused: no class of the study.
    """
    classes = list(study.probabilities)
    check_class(classes, shown)
    name = shown if shown is not None else most_probable(study)
    class_map = store.class_maps(study)[classes.index(name)]
    grey = display(store.radiograph(study), longest=longest)
    if form == "layer":
        return _png(Image.fromarray(_layer(class_map, height=grey.shape[0], width=grey.shape[1])))
    drawn = outlined(overlay(grey, class_map), region_of(study))
    if form == "overlay":
        return _png(Image.fromarray(drawn))
    return _png(annotate(drawn, _caption(study, name), evidence=has_evidence(class_map)))


def check_class(classes: Collection[str], shown: str | None) -> None:
    """Raises `InputRefused` (`no-such-class`) when `shown` is neither a class nor `None`."""
    if shown is not None and shown not in classes:
        raise InputRefused(f"expected a class of {', '.join(classes)}. Received: another", code="no-such-class")


def most_probable(study: Study) -> str:
    """The class with the largest probability; the first one where the network gave no numbers."""
    return max(study.probabilities, key=lambda name: study.probabilities[name] or 0.0)


def has_evidence(class_map: NDArray[np.float32]) -> bool:
    """Whether a class map says anything at all."""
    return normalise(class_map, height=4, width=4) is not None


def region_of(study: Study) -> tuple[float, float, float, float]:
    """What the network saw: top, left, bottom, right in shares of the picture."""
    top, left, bottom, right = study.finding["region"]
    return top, left, bottom, right


def _caption(study: Study, name: str) -> Caption:
    reasons = study.finding["reasons"]
    return Caption(
        shown=name,
        probability=study.probabilities[name] or 0.0,
        model=f"{study.model.name} {study.model.version}",
        note=f"{study.label}: {'; '.join(reasons)}" if reasons else "",
        lungs=study.finding["lungs_in_words"],
    )


def _layer(class_map: NDArray[np.float32], *, height: int, width: int) -> NDArray[np.uint8]:
    strength = normalise(class_map, height=height, width=width)
    if strength is None:
        return np.zeros((height, width, 4), np.uint8)
    levels = (strength * 255).astype(np.uint8)
    # As in `overlay`: the opacity grows with the map. How strong the whole layer is, the viewer says.
    opacity = (255 * np.minimum(1.0, 1.6 * strength)).round().astype(np.uint8)
    return np.dstack([ramp()[levels], opacity])


def _windowed(radiograph: Radiograph, *, low: float, high: float) -> Radiograph:
    white = 2**radiograph.bits - 1
    shares = (radiograph.pixels.astype(np.float32) / white - low) / (high - low)
    pixels = np.rint(np.clip(shares, 0, 1) * 255).astype(np.uint8)
    return Radiograph(pixels, bits=8, source=radiograph.source)


def _png(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "PNG", compress_level=1)
    return stream.getvalue()
