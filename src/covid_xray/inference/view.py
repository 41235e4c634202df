"""A radiograph in, what the bundle sees of it out: the network's input, and which part of the picture that is.

The one way from a radiograph to the network, in training and at every later step.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from covid_xray.bundle.lung_network import LUNGS_VERSION, LungNetwork
from covid_xray.images.pixels import PIXELS_VERSION, to_input
from covid_xray.images.radiograph import Radiograph
from covid_xray.inference.gate_features import Look
from covid_xray.inference.lungs import WHOLE, Box, LungFinder, Lungs, box_pixels, cropped

CROPS = ("none", "lungs")


@dataclass(frozen=True, eq=False)
class View:
    """What is kept of one radiograph until its answer.

    Args:
        pixels: height x width uint8, 0..255: the network's input.
        region: the part of the radiograph that it shows: top, left, bottom, right in shares of the picture.
        lungs: where the lungs are; `None` when the bundle has no lung network.
        look: what the gate sees; `None` when the bundle has no gate.
    """

    pixels: NDArray[np.uint8]
    region: Box = WHOLE
    lungs: Lungs | None = None
    look: Look | None = None


class Viewer:
    """Makes the network's input. Thread-safe.

    Args:
        height, width: of the input.
        lungs: finds the lungs of every radiograph, where it is given.
        crop: whether the network sees the lungs with a margin, or the whole picture. Where the lungs are not found
            it is the whole picture all the same.

    Raises:
        BadBundle: the lung network cannot be opened.
    """

    def __init__(self, *, height: int, width: int, lungs: LungNetwork | None = None, crop: bool = False) -> None:
        if crop and lungs is None:
            raise ValueError("expected a lung network to crop by. Received: none")
        self.height, self.width, self.crop = height, width, crop
        self._lungs = lungs
        self._finder = open_lungs(lungs) if lungs else None

    @property
    def identity(self) -> dict[str, Any]:
        """All that the pixels depend on besides the radiograph: two viewers of one identity see the same."""
        facts: dict[str, Any] = {"pixels_version": PIXELS_VERSION, "height": self.height, "width": self.width}
        if self.crop and self._lungs:
            known = self._lungs.facts
            crop = {"network": known["sha256"], "margin": known["margin"], "version": LUNGS_VERSION}
            facts["crop"] = crop
        return facts

    def view(self, radiograph: Radiograph) -> View:
        """The input, its region and the lungs of one radiograph."""
        lungs = self._finder.find(radiograph) if self._finder else None
        box = lungs.box if self.crop and lungs and lungs.plausible else WHOLE
        seen = radiograph if box == WHOLE else cropped(radiograph, box)
        return View(to_input(seen, height=self.height, width=self.width), _region(box, radiograph), lungs)


def open_lungs(network: LungNetwork) -> LungFinder:
    """The network, ready to run. Raises `BadBundle`."""
    return LungFinder(network.model, size=int(network.facts["image_size"]), margin=float(network.facts["margin"]))


def _region(box: Box, radiograph: Radiograph) -> Box:
    """The box on whole pixels of the radiograph, so that a class map lands exactly where it was seen."""
    height, width = radiograph.pixels.shape
    rows, columns = box_pixels(box, height, width)
    return rows.start / height, columns.start / width, rows.stop / height, columns.stop / width
