"""Local descriptors of many pictures in, the few pairs of pictures worth a closer look out.

Descriptors vote: one that nearly equals a descriptor of another picture is a vote for that pair. Only descriptors in
the same cell of a random two-level partition are compared, and cells hold about the same number however many
pictures there are, so the work grows in proportion to the pictures.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from covid_xray.data.fingerprints import UNIT, Album, Progress, mirrored_descriptors, one_thread_each

CELL = 150  # descriptors in a cell, on average
SIMILAR = 0.93  # cosine of two descriptors that counts as a vote; of one point in two copies it is .97, as a rule
VOTERS = 6  # a descriptor votes for its nearest few only: what is everywhere says nothing
VOTES = 6  # a pair needs as many; copies have 24 or more on the real set, half of all with more than 180
MOST = 20  # candidates for one picture, those with the most votes
_CHUNK = 20_000


class Candidate(NamedTuple):
    """Pictures `first` < `second` by number; `mirror`: the first has to be mirrored to look like the second."""

    first: int
    second: int
    mirror: bool


def find_candidates(
    album: Album, *, among: NDArray[np.bool_] | None = None, workers: int = 2, progress: Progress | None = None, seed: int = 0
) -> list[Candidate]:
    """Pairs that may show one radiograph, in the order of their numbers.

    Args:
        album: the pictures.
        among: mask of the pictures to compare; by default all.
        workers: threads.
        progress: called with ("comparing", cells done, cells in all).
        seed: of the random partition.
    """
    starts = album.starts()
    owner = np.repeat(np.arange(len(album), dtype=np.int32), np.diff(starts))
    rows = np.flatnonzero(among[owner]) if among is not None else np.arange(len(owner))
    if len(rows) == 0:
        return []
    descriptors = album.all_descriptors()
    with one_thread_each(), ThreadPoolExecutor(workers) as pool:
        partition = _Partition.drawn(descriptors, rows, seed=seed)
        plain, mirror = (
            partition.cells(descriptors, rows, turn=turn, pool=pool) for turn in (_as_is, mirrored_descriptors)
        )
        ...
