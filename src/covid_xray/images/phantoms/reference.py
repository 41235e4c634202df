"""Draw the reference images of `covid-xray selftest` from integers alone: the same bytes on every machine."""

import numpy as np
from numpy.typing import NDArray

SIZE = (301, 263)  # rows, columns: neither square nor the network's, so that the resize is tested


def draw(seed: int, *, height: int = SIZE[0], width: int = SIZE[1]) -> NDArray[np.uint8]:
    """Draw a bright body, two dark lungs of the seed's size and place, ribs and patches: height x width uint8.

    Integers only: no rounding differs between machines. It need not look real, only use the whole range of greys.
    """
    random = _Numbers(seed)
    rows = (np.arange(height, dtype=np.int64) * 1000 // height)[:, None]
    columns = (np.arange(width, dtype=np.int64) * 1000 // width)[None, :]
    grey = 60 + _blob(rows, columns, centre=(550, 500), size=(620, 480), strength=150)
    lungs = random.between(70, 130)
    for side in (-1, 1):
        place = (470 + random.between(-40, 40), 500 + side * (210 + random.between(-25, 25)))
        grey = grey - _blob(rows, columns, centre=place, size=(300, 150), strength=lungs)
    for _ in range(random.between(1, 7)):
        place = (random.between(250, 750), random.between(200, 800))
        size = (random.between(30, 120), random.between(30, 120))
        grey = grey + _blob(rows, columns, centre=place, size=size, strength=random.between(20, 90))
    ribs = abs((rows + abs(columns - 500) // 3) % 110 - 55) // 5
    return np.clip(grey + ribs, 0, 255).astype(np.uint8)


class _Numbers:
    """Random integers that are the same in every version of numpy, which guarantees only its raw bit streams."""

    def __init__(self, seed: int) -> None:
        self._bits = np.random.PCG64(seed)

    def between(self, low: int, high: int) -> int:
        return low + int(self._bits.random_raw()) % (high - low)


def _blob(
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    *,
    centre: tuple[int, int],
    size: tuple[int, int],
    strength: int,
) -> NDArray[np.int64]:
    """Compute strength / (1 + d^4), d the distance from the centre in units of `size`; all in whole numbers."""
    square = (rows - centre[0]) ** 2 * 1000 // size[0] ** 2 + (columns - centre[1]) ** 2 * 1000 // size[1] ** 2
    return np.asarray(strength * 1_000_000 // (1_000_000 + square**2), dtype=np.int64)
