"""What the house says of one image: a `Finding`, or a `Failure` with its reason. Plain data, no methods of weight."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

CANNOT_SAY = "cannot say"


@dataclass(frozen=True)
class ModelIdentity:
    """Which network answered: its name, version and the SHA-256 of `model.onnx`."""

    name: str
    version: str
    sha256: str


@dataclass(frozen=True, eq=False)
class Finding:
    """The answer for one image.

    Args:
        image: the path or name that was asked for, unchanged.
        probabilities: class to calibrated probability, in the bundle's class order; they sum to 1.
        label: the most probable class, or `CANNOT_SAY` when there are `reasons`.
        reasons: why the answer is "cannot say"; empty otherwise.
        prediction_set: the classes that conformal prediction keeps at the bundle's coverage; `None` when the
            bundle was not calibrated for it.
        gate: verdicts of the input checks by name; `None` when the bundle has none.
        model: which network answered.
        class_maps: C x h x w float32, Grad-CAM of each class, zero or more, not normalised; `None` unless asked for.
        operating_points: class -> name of the operating point (rule-out, balanced, rule-in) -> whether the class's
            probability reaches it; `None` when the bundle has none.
        embedding: D float32, the network's last hidden features; `None` unless asked for.
    """

    image: str
    probabilities: dict[str, float]
    label: str
    reasons: tuple[str, ...]
    prediction_set: tuple[str, ...] | None
    gate: dict[str, Any] | None
    model: ModelIdentity
    class_maps: NDArray[np.float32] | None = None
    embedding: NDArray[np.float32] | None = None
    operating_points: dict[str, dict[str, bool]] | None = None


@dataclass(frozen=True)
class Failure:
    """An image that got no answer: the stable `code` and safe `message` of the error."""

    image: str
    code: str
    message: str
