"""Hold the lung network of a bundle before it is opened: `lungs.onnx` and its facts."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

LUNGS_FILE = "lungs.onnx"
LUNGS_VERSION = 2  # of the way from a network's output to a box; raise it when a box or a verdict changes
MARGIN = 0.22  # of the lungs' height and width, on every side of the crop: a narrow one lost on unseen hospitals


@dataclass(frozen=True, eq=False)
class LungNetwork:
    """A lung network that is not opened yet.

    Args:
        model: the bytes of `lungs.onnx`.
        facts: `sha256`, `image_size`, `margin` and others, as under `lungs` in `bundle.json`.
    """

    model: bytes
    facts: Mapping[str, Any]
