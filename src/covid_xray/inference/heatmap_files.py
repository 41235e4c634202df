"""Draw the heat maps of findings as annotated pictures, and write them."""

from pathlib import Path, PurePath
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from covid_xray.files import replacing, sha256_bytes
from covid_xray.images.pixels import to_input
from covid_xray.images.radiograph import Radiograph
from covid_xray.inference.finding import CANNOT_SAY, Finding
from covid_xray.inference.heatmap import Caption, annotate, normalise, outlined, overlay
from covid_xray.inference.io.inputs import Source, open_source
from covid_xray.inference.lung_facts import in_words
from covid_xray.inference.lungs import WHOLE
from covid_xray.limits import Limits

if TYPE_CHECKING:
    from PIL import Image

LONGEST = 896  # pixels of the longer side: enough for a screen, small enough for a report


def display(radiograph: Radiograph, *, longest: int = LONGEST) -> NDArray[np.uint8]:
    """Shrink the radiograph for display: H x W uint8 with its own aspect ratio, at most `longest` pixels a side."""
    height, width = radiograph.pixels.shape
    scale = min(1.0, longest / max(height, width))
    return to_input(radiograph, height=max(1, round(height * scale)), width=max(1, round(width * scale)))


def write_heatmap(finding: Finding, source: Source, folder: Path, *, shown: str | None, limits: Limits) -> Path:
    """Write the heat map of one class over its radiograph as PNG and return the path.

    Args:
        finding: with class maps.
        source: the image; it is read again, so that no picture is held in memory meanwhile.
        folder: the picture is written to `<stem>-<8 digits of the name's hash>-<class>.png` in it, so that two images
            of one name in two folders have two pictures.
        shown: the class; `None` for the most probable one.
        limits: for reading the file.
    """
    name = shown or most_probable(finding)
    picture = draw_heatmap(finding, name, source=source, limits=limits)
    path = folder / picture_name(finding.image, name)
    with replacing(path) as temporary:
        picture.save(temporary)
    return path


def draw_heatmap(finding: Finding, shown: str | None, *, source: Source, limits: Limits) -> "Image.Image":
    """Draw the heat map of one class over its radiograph, with a caption: a Pillow RGB image. Raises `ValueError`."""
    classes, name = list(finding.probabilities), shown or most_probable(finding)
    if finding.class_maps is None or name not in classes:
        raise ValueError(
            f"No class map of {name!r}. Predict with class_maps=True, and name one of {', '.join(classes)}."
        )
    class_map = finding.class_maps[classes.index(name)]
    grey = display(open_source(source, limits=limits))
    evidence = normalise(class_map, height=4, width=4) is not None
    note = f"{CANNOT_SAY}: {'; '.join(finding.reasons)}" if finding.reasons else ""
    model = f"{finding.model.name} {finding.model.version}"
    lungs = in_words(finding.lungs, cropped=finding.region != WHOLE)
    caption = Caption(shown=name, probability=finding.probabilities[name], model=model, note=note, lungs=lungs)
    return annotate(outlined(overlay(grey, class_map), finding.region), caption, evidence=evidence)


def most_probable(finding: Finding) -> str:
    """Return the most probable class."""
    return max(finding.probabilities, key=finding.probabilities.__getitem__)


def picture_name(image: str, shown: str) -> str:
    """Make the file name of the heat map of `image` for the class `shown`."""
    stem = PurePath(image).stem[:80] or "image"
    digest = sha256_bytes(image.encode("utf-8", errors="surrogateescape"))
    return f"{stem}-{digest[:8]}-{shown}.png"
