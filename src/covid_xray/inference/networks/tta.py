"""Average the probabilities of a network over mirrored and shifted copies of its input (test-time augmentation)."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from covid_xray.errors import UsageError
from covid_xray.inference.engines import Engine

SHIFT = 0.02  # of the side
# What is done to a copy: mirrored or not, and the steps down and to the right.
COPIES = [(mirrored, *step) for step in ((0, 0), (0, 1), (0, -1), (1, 0), (-1, 0)) for mirrored in (False, True)]
Pixels = NDArray[np.float32]


def check_copies(count: int) -> int:
    """Return the number of copies if there are that many. Raises `UsageError`."""
    if not 1 <= count <= len(COPIES):
        raise UsageError(f"--tta {count} is not possible. Give a number of copies from 1 (none) to {len(COPIES)}.")
    return count


def copies_of(x: Pixels, *, count: int) -> list[Pixels]:
    """Make `count` copies of N x H x W x 1 inputs: the input itself, its mirror image, then both shifted by 2 %.

    What a shift brings in repeats the edge.
    """
    down, right = (max(1, round(SHIFT * side)) for side in x.shape[1:3])
    return [
        _shifted(x[:, :, ::-1] if mirrored else x, down=down * rows, right=right * columns)
        for mirrored, rows, columns in COPIES[:count]
    ]


def averaged(engine: Engine, x: Pixels, outputs: Mapping[str, Pixels], *, count: int) -> dict[str, Pixels]:
    """Replace the probabilities in the outputs for `x` by their mean over its copies, and so `known`; the rest stays.

    Args:
        engine: of the network.
        x: N x H x W x 1, 0..255.
        outputs: of the network for `x`; class maps and embedding stay those of the input itself.
        count: copies, the input itself counted.
    """
    names = [name for name in ("probabilities", "known") if name in outputs]
    found = [outputs, *(engine.run(np.ascontiguousarray(copy), names) for copy in copies_of(x, count=count)[1:])]
    return {**outputs, **{name: np.mean([one[name] for one in found], axis=0, dtype=np.float32) for name in names}}


def _shifted(x: Pixels, *, down: int, right: int) -> Pixels:
    height, width = x.shape[1:3]
    rows, columns = np.arange(height) - down, np.arange(width) - right
    return x[:, rows.clip(0, height - 1)][:, :, columns.clip(0, width - 1)]
