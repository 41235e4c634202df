"""Convert a radiograph to the network's input; training, evaluation and serving share this function."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from covid_xray.images.decode import decode
from covid_xray.images.radiograph import Radiograph
from covid_xray.limits import Limits

# Stored in every bundle and cache; increment it when any output byte of `to_input` or `decode` changes.
PIXELS_VERSION = 1

_WHITE = 255.0  # uint8
_ROWS, _LARGE = 64, 1 << 20  # of larger pictures so many rows are converted at once: a full-size film takes 120 MB


def to_input(radiograph: Radiograph, *, height: int, width: int) -> NDArray[np.uint8]:
    """Resize a radiograph of any size and 8..16 bits to height x width uint8, black 0 and white 255.

    Pillow's BILINEAR widens its filter when shrinking and so does not alias. The aspect ratio is not kept: the original
    project (Keras `image_dataset_from_directory`) did not, and crops or padding would reveal the source. White
    `2 ** bits - 1` becomes 255. The 8-bit and the 16-bit file of one image differ by 1 at most.
    """
    size = (width, height)
    if radiograph.bits == 8:
        return np.array(Image.fromarray(radiograph.pixels).resize(size, Image.Resampling.BILINEAR))
    resized = np.array(_narrowed(radiograph.pixels, width).resize(size, Image.Resampling.BILINEAR))
    resized *= _WHITE / (2**radiograph.bits - 1)
    return np.rint(np.clip(resized, 0, _WHITE, out=resized), out=resized).astype(np.uint8)


def _narrowed(pixels: NDArray[np.generic], width: int) -> Image.Image:
    """Convert 16-bit pixels to 32-bit floats, which hold all of 0..65,535 exactly; resize large pictures to `width`.

    Pillow resizes across and then down as well, so the result is the same as in one step.
    """
    if pixels.size < _LARGE:
        return Image.fromarray(pixels).convert("F")
    narrow = Image.new("F", (width, len(pixels)))
    for start in range(0, len(pixels), _ROWS):
        rows = Image.fromarray(pixels[start : start + _ROWS]).convert("F")
        narrow.paste(rows.resize((width, rows.height), Image.Resampling.BILINEAR), (0, start))
    return narrow


def load_input(source: Path | bytes, *, height: int, width: int, limits: Limits = Limits()) -> NDArray[np.uint8]:  # noqa: B008
    """Decode an image and convert it with `to_input`. Raises `BadImage` as `decode` does."""
    return to_input(decode(source, limits=limits), height=height, width=width)
