"""Find the contrasts of a training set, ill against well in one source, and draw balanced batches from them.

A network that is shown ill images of one hospital and healthy ones of another learns the hospitals. Within one source
detector, archive and compression are the same for both, and telling them apart takes the lungs.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from covid_xray.errors import InputRefused

Ints = NDArray[np.int64]

LEAST = 10  # images of each side that make a source a contrast of its own
POOLED = "pooled"  # the name of the contrast that no single source makes
MOST_WELL = 400  # healthy images of one source in the pooled contrast, so that no large source fills it


@dataclass(frozen=True, eq=False)
class Contrast:
    """Ill against well under one intercept.

    Args:
        name: of the source, or `POOLED`.
        well, ill: indices of the images, a list of groups each; a group is drawn by the square root of its size.
    """

    name: str
    well: tuple[Ints, ...]
    ill: tuple[Ints, ...]

    def draw(self, *, ill: bool, random: np.random.Generator) -> int:
        """Draw the index of one image of a side."""
        groups = self.ill if ill else self.well
        weights = np.sqrt([len(group) for group in groups])
        group = groups[random.choice(len(groups), p=weights / weights.sum())]
        return int(random.choice(group))


def find_contrasts(
    ill: Sequence[bool], sources: Sequence[str], *, seed: int = 0, least: int = LEAST
) -> tuple[Contrast, ...]:
    """Find every source with both sides, and pool all the others.

    The ill of sources that have no healthy images are set against the healthy of all sources, under an intercept of
    their own: weaker than a contrast within a hospital, but the only one that such a source allows.

    Args:
        ill: of each of N images whether it is ill.
        sources: of each of N images where it is from.
        least: images of each side that make a contrast.
        seed: decides which healthy images of a large source the pooled contrast holds.

    Raises:
        InputRefused: no source has both sides and none can be pooled (code `no-contrast`).
    """
    sick, origin = np.asarray(ill, dtype=bool), np.asarray(sources, dtype=object)
    random = np.random.default_rng(seed)
    found, alone, well = [], [], []
    for name in sorted(set(origin)):
        sides = [np.flatnonzero((origin == name) & (sick == side)) for side in (False, True)]
        if min(map(len, sides)) >= least:
            found.append(Contrast(str(name), (sides[0],), (sides[1],)))
        elif len(sides[1]) >= least:
            alone.append(sides[1])
        if len(sides[0]) >= least:
            well.append(random.permutation(sides[0])[:MOST_WELL])
    if alone and well:
        found.append(Contrast(POOLED, tuple(well), tuple(alone)))
    if not found:
        raise InputRefused(
            f"No source has {least} healthy and {least} ill images. objective=within_source learns the difference "
            "between them inside one source; give a column `source`, or train with objective=classes.",
            code="no-contrast",
        )
    return tuple(found)


def draw_batch(contrasts: Sequence[Contrast], *, pairs: int, random: np.random.Generator) -> tuple[Ints, Ints]:
    """Draw `pairs` images of the healthy, then as many of the ill, each pair of one contrast; contrasts take turns.

    Returns:
        Index of each of 2 * `pairs` images, and the number of the contrast that it was drawn for.
    """
    turns = [random.permutation(len(contrasts)) for _ in range(-(-pairs // len(contrasts)))]
    number = np.concatenate(turns)[:pairs]
    images = [contrasts[n].draw(ill=side, random=random) for side in (False, True) for n in number]
    return np.array(images, dtype=np.int64), np.tile(number, 2)
