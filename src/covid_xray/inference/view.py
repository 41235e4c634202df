"""Make the network's input from a radiograph, and remember which part of the picture it shows.

The one way from a radiograph to the network, in training and at every later step.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from covid_xray.bundle.lung_network import LUNGS_VERSION, LungNetwork
from covid_xray.images.pixels import PIXELS_VERSION, to_input
from covid_xray.images.radiograph import Radiograph
from covid_xray.inference import lung_picture
from covid_xray.inference.gate_features import Look
from covid_xray.inference.lungs import WHOLE, Box, LungFinder, Lungs, box_pixels, cropped, lungs_of

Crop = Literal["none", "lungs", "lungs-only"]


@dataclass(frozen=True, eq=False)
class View:
    """What is kept of one radiograph until its answer.

    Args:
        pixels: height x width uint8, 0..255: the network's input.
        region: the part of the radiograph that it shows: top, left, bottom, right in shares of the picture.
        lungs: where the lungs are; `None` when the bundle has no lung network.
        look: what the gate sees; `None` when the bundle has no gate.
        raw: the same as `pixels` before its histogram was equalised: what training alters. `pixels` itself where
            nothing is equalised.
    """

    pixels: NDArray[np.uint8]
    region: Box = WHOLE
    lungs: Lungs | None = None
    look: Look | None = None
    raw: NDArray[np.uint8] | None = None


class Viewer:
    """Makes the network's input. Thread-safe.

    Args:
        height, width: of the input.
        lungs: finds the lungs of every radiograph, where it is given.
        crop: what the network sees: the whole picture (`none`), the box of the lungs with a margin (`lungs`), or the
            equalised lungs with black around them (`lungs-only`). Where the lungs are not found it is the whole
            picture, equalised for `lungs-only`; the answer then is "cannot say".

    Raises:
        BadBundle: the lung network cannot be opened.
    """

    def __init__(self, *, height: int, width: int, lungs: LungNetwork | None = None, crop: Crop = "none") -> None:
        if crop != "none" and lungs is None:
            raise ValueError(f"A crop of {crop!r} needs a lung network.")
        self.height, self.width, self.crop = height, width, crop
        self._lungs = lungs
        self._finder = open_lungs(lungs) if lungs else None

    @property
    def identity(self) -> dict[str, Any]:
        """All that the pixels depend on besides the radiograph: two viewers of one identity see the same."""
        facts: dict[str, Any] = {"pixels_version": PIXELS_VERSION, "height": self.height, "width": self.width}
        if self.crop != "none" and self._lungs:
            known = self._lungs.facts
            network = {"network": known["sha256"], "margin": known["margin"], "version": LUNGS_VERSION}
            facts["crop"] = {"kind": self.crop, **network}
        return facts

    def view(self, radiograph: Radiograph) -> View:
        """The input, its region and the lungs of one radiograph."""
        if self.crop == "lungs-only":
            return self._lungs_only(radiograph)
        lungs = self._finder.find(radiograph) if self._finder else None
        box = lungs.box if self.crop == "lungs" and lungs and lungs.plausible else WHOLE
        seen = radiograph if box == WHOLE else cropped(radiograph, box)
        return View(to_input(seen, height=self.height, width=self.width), _region(box, radiograph), lungs)

    def _lungs_only(self, radiograph: Radiograph) -> View:
        picture = to_input(radiograph, height=lung_picture.GRID, width=lung_picture.GRID)
        outline = lung_picture.outlined(picture)
        lungs = self._find(radiograph) if outline is None else lungs_of(outline.astype(np.float32))
        if not lungs.plausible:
            raw = to_input(radiograph, height=self.height, width=self.width)
            return View(lung_picture.equalise(raw), WHOLE, lungs, raw=raw)
        hulls = lung_picture.hulls_of(lungs)
        if outline is not None:
            picture = lung_picture.filled(picture, hulls)
        raw = lung_picture.cut(picture, hulls, height=self.height, width=self.width)
        return View(lung_picture.equalise(raw), lung_picture.region_of(hulls), lungs, raw=raw)

    def _find(self, radiograph: Radiograph) -> Lungs:
        if self._finder is None:  # the constructor has seen to it
            raise ValueError("There is no lung network to find the lungs with.")
        return self._finder.find(radiograph)


def open_lungs(network: LungNetwork) -> LungFinder:
    """The network, ready to run. Raises `BadBundle`."""
    return LungFinder(network.model, size=int(network.facts["image_size"]), margin=float(network.facts["margin"]))


def _region(box: Box, radiograph: Radiograph) -> Box:
    """The box on whole pixels of the radiograph, so that a class map lands exactly where it was seen."""
    height, width = radiograph.pixels.shape
    rows, columns = box_pixels(box, height, width)
    return rows.start / height, columns.start / width, rows.stop / height, columns.stop / width
