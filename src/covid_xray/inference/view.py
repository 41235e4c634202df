"""Make the network's input from a radiograph, and remember which part of the picture it shows.

The one way from a radiograph to the network, in training and at every later step.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from covid_xray.bundle.lung_network import LUNGS_VERSION, LungNetwork
from covid_xray.images.appearance import Appearance
from covid_xray.images.pixels import PIXELS_VERSION, to_input
from covid_xray.images.radiograph import Radiograph
from covid_xray.inference import lung_picture
from covid_xray.inference.gate_features import Look
from covid_xray.inference.lungs import WHOLE, Box, LungFinder, Lungs, box_pixels, cropped, lungs_of

Crop = Literal["none", "lungs", "lungs-only"]


@dataclass(frozen=True, eq=False)
class View:
    """The data of one radiograph that its prediction needs.

    Args:
        pixels: height x width uint8, 0..255: the network's input.
        region: the part of the radiograph that it shows: top, left, bottom, right in shares of the picture.
        lungs: where the lungs are; `None` when the bundle has no lung network.
        look: the features of the gate; `None` when the bundle has no gate.
        raw: `pixels` before their histogram was equalised, which training augments; `None` where nothing is equalised.
        appearance: figures of the whole picture, for drift monitoring.
        warnings: codes of what was wrong with the file (`images.dicom_file.WARNINGS`).
        others: for an ensemble the views of its further members, in order.
    """

    pixels: NDArray[np.uint8]
    region: Box = WHOLE
    lungs: Lungs | None = None
    look: Look | None = None
    raw: NDArray[np.uint8] | None = None
    appearance: Appearance | None = None
    warnings: tuple[str, ...] = ()
    others: tuple["View", ...] = ()


class Viewer:
    """Make the network's input. Thread-safe.

    Args:
        height, width: of the input.
        lungs: finds the lungs of every radiograph, where it is given.
        crop: the part that the network sees: the whole picture (`none`), the box of the lungs with a margin (`lungs`),
            or the equalised lungs with black around them (`lungs-only`). Where the lungs are not found it is the whole
            picture, equalised for `lungs-only`; the label then is "cannot say".

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
        """Return everything that the pixels depend on besides the radiograph: equal viewers make equal inputs."""
        facts: dict[str, Any] = {"pixels_version": PIXELS_VERSION, "height": self.height, "width": self.width}
        if self.crop != "none" and self._lungs:
            known = self._lungs.facts
            network = {"network": known["sha256"], "margin": known["margin"], "version": LUNGS_VERSION}
            facts["crop"] = {"kind": self.crop, **network}
        return facts

    @property
    def lungs_sha256(self) -> str:
        """Return the hash of the lung network; "" without one."""
        return str(self._lungs.facts["sha256"]) if self._lungs else ""

    def view(self, radiograph: Radiograph) -> View:
        """Make the input of one radiograph, with its region and lungs."""
        if self.crop == "lungs-only":
            return self._lungs_only(radiograph)
        lungs = self._finder.find(radiograph) if self._finder else None
        box = lungs.box if self.crop == "lungs" and lungs and lungs.plausible else WHOLE
        part = radiograph if box == WHOLE else cropped(radiograph, box)
        return View(to_input(part, height=self.height, width=self.width), _region(box, radiograph), lungs)

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
        if self._finder is None:  # excluded by the constructor
            raise ValueError("There is no lung network to find the lungs with.")
        return self._finder.find(radiograph)


def open_lungs(network: LungNetwork) -> LungFinder:
    """Open the network. Raises `BadBundle`."""
    return LungFinder(network.model, size=int(network.facts["image_size"]), margin=float(network.facts["margin"]))


def _region(box: Box, radiograph: Radiograph) -> Box:
    """Round the box to whole pixels of the radiograph, so that a class map is placed exactly."""
    height, width = radiograph.pixels.shape
    rows, columns = box_pixels(box, height, width)
    return rows.start / height, columns.start / width, rows.stop / height, columns.stop / width
