"""Find the few pairs of images that may show one radiograph by votes of their local descriptors.

A descriptor that nearly equals one of another image is a vote for that pair. Only descriptors in the same cell of a
random partition are compared, and cells have a fixed average size, so the work grows linearly with the images.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from covid_xray.data.duplicates.fingerprints import UNIT, Album, Progress, mirrored_descriptors, one_thread_each

CELL = 150  # descriptors in a cell, on average
SIMILAR = 0.93  # cosine from which two descriptors count as nearly equal; the same spot in two copies has about 0.97
VOTES_EACH = 6  # a descriptor votes for its nearest few only, since a common pattern proves nothing
VOTES = 6  # votes a pair needs; copies in the real set had 24 or more, half of them over 180
MOST = 20  # candidates per image, those with the most votes
_CHUNK = 20_000  # descriptors handled at a time: 10 MB as float32
_VOTERS = 2000  # descriptors of a cell compared at a time
_TASK = 64  # cells in one task of a thread

Turn = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]


class Candidate(NamedTuple):
    """Numbers of two images, `first` < `second`; with `mirror`, the first is mirrored before the comparison."""

    first: int
    second: int
    mirror: bool


def find_candidates(
    album: Album,
    *,
    among: NDArray[np.bool_] | None = None,
    workers: int = 2,
    progress: Progress | None = None,
    seed: int = 0,
) -> list[Candidate]:
    """Find pairs of images that may show one radiograph, in the order of their numbers.

    Args:
        album: fingerprints of the images.
        among: mask over the album, the images to compare; default: all.
        workers: threads.
        progress: called with ("comparing", cells done, number of cells).
        seed: of the random partition.
    """
    voters = _Voters.from_album(album, among)
    if len(voters.rows) == 0:
        return []
    partition = _Partition.random(voters, rng=np.random.default_rng(seed))
    tables = []
    with one_thread_each(), ThreadPoolExecutor(workers) as pool:
        plain = _CellIndex(partition.cells(voters, turn=_unchanged, pool=pool))
        for mirror, turn in enumerate((_unchanged, mirrored_descriptors)):
            turned = _CellIndex(partition.cells(voters, turn=turn, pool=pool)) if mirror else plain
            count = partial(_count, voters, turned, plain, turn)
            votes = []
            tasks = (range(at, min(partition.size, at + _TASK)) for at in range(0, partition.size, _TASK))
            for done, part in enumerate(pool.map(count, tasks), start=1):
                votes.append(part)
                if progress:
                    cells = mirror * partition.size + min(done * _TASK, partition.size)
                    progress("comparing", cells, 2 * partition.size)
            tables.append(_tally(np.concatenate(votes), images=len(album), mirror=bool(mirror)))
    return _best(pd.concat(tables))


@dataclass(frozen=True, eq=False)
class _Voters:
    """The descriptors to compare, `rows` of `descriptors`, and the image (`owner`) of every descriptor."""

    descriptors: NDArray[np.uint8]
    rows: NDArray[np.int64]
    owner: NDArray[np.int32]
    images: int

    @staticmethod
    def from_album(album: Album, among: NDArray[np.bool_] | None) -> "_Voters":
        owner = np.repeat(np.arange(len(album), dtype=np.int32), np.diff(album.starts()))
        rows = np.arange(len(owner)) if among is None else np.flatnonzero(among[owner])
        return _Voters(album.all_descriptors(), rows, owner, len(album))


@dataclass(frozen=True, eq=False)
class _Partition:
    """Two levels of nearest-centre cells around randomly chosen descriptors.

    Args:
        top: k x 128 centres.
        below: for each of them the centres of its cells.
        first: number of the first of its cells, and at the end the number of all cells.
    """

    top: NDArray[np.float32]
    below: list[NDArray[np.float32]]
    first: NDArray[np.int64]

    @staticmethod
    def random(voters: _Voters, *, rng: np.random.Generator) -> "_Partition":
        cells = max(1, len(voters.rows) // CELL)
        centres = np.sort(rng.choice(voters.rows, cells, replace=False))
        centres = _unit(voters.descriptors[centres])
        top = centres[rng.choice(cells, max(1, round(cells**0.5)), replace=False)]
        inside = _nearest(centres, top)
        filled = np.unique(inside)  # of two equal centres one stays empty
        below = [centres[inside == t] for t in filled]
        return _Partition(top[filled], below, np.cumsum([0, *map(len, below)]))

    @property
    def size(self) -> int:
        return int(self.first[-1])

    def cells(self, voters: _Voters, *, turn: Turn, pool: ThreadPoolExecutor) -> NDArray[np.int64]:
        """Return the cell of each of `voters.rows`."""
        starts = range(0, len(voters.rows), _CHUNK)
        parts = pool.map(lambda at: self._cells(turn(voters.descriptors[voters.rows[at : at + _CHUNK]])), starts)
        return np.concatenate(list(parts))

    def _cells(self, descriptors: NDArray[np.uint8]) -> NDArray[np.int64]:
        x = _unit(descriptors)
        top = _nearest(x, self.top)
        cell = np.empty(len(x), np.int64)
        for t in np.unique(top):
            members = np.flatnonzero(top == t)
            cell[members] = self.first[t] + _nearest(x[members], self.below[t])
        return cell


class _CellIndex:
    """Look up positions in `voters.rows` by cell."""

    def __init__(self, cells: NDArray[np.int64]) -> None:
        self._order = np.argsort(cells, kind="stable")
        self._cells = cells[self._order]

    def members(self, cell: int) -> NDArray[np.int64]:
        first, last = np.searchsorted(self._cells, (cell, cell + 1))
        return self._order[first:last]


def _count(voters: _Voters, turned: _CellIndex, plain: _CellIndex, turn: Turn, cells: range) -> NDArray[np.int64]:
    """Return the votes in some cells, each as smaller image number * images + larger one."""
    votes = [np.zeros(0, np.int64)]
    for cell in cells:
        there = voters.rows[plain.members(cell)]
        if len(there) < 2:
            continue
        here = voters.rows[turned.members(cell)]
        votes += [_votes(voters, here[at : at + _VOTERS], there, turn) for at in range(0, len(here), _VOTERS)]
    return np.concatenate(votes)


def _votes(voters: _Voters, here: NDArray[np.int64], there: NDArray[np.int64], turn: Turn) -> NDArray[np.int64]:
    cosine = _unit(turn(voters.descriptors[here])) @ _unit(voters.descriptors[there]).T
    mine, theirs = voters.owner[here].astype(np.int64), voters.owner[there].astype(np.int64)
    cosine[mine[:, None] == theirs] = -1
    few = min(VOTES_EACH, len(there) - 1)
    nearest = np.argpartition(-cosine, few, axis=1)[:, :few]
    voter, rank = np.nonzero(np.take_along_axis(cosine, nearest, axis=1) > SIMILAR)
    chosen = theirs[nearest[voter, rank]]
    # One descriptor has one vote for an image, even if it equals several spots there.
    ballot = np.unique(voter * np.int64(voters.images) + chosen)
    a, b = mine[ballot // voters.images], ballot % voters.images
    return np.minimum(a, b) * voters.images + np.maximum(a, b)


def _tally(votes: NDArray[np.int64], *, images: int, mirror: bool) -> pd.DataFrame:
    keys, count = np.unique(votes, return_counts=True)
    enough = count >= VOTES
    keys, count = keys[enough], count[enough]
    return pd.DataFrame({"first": keys // images, "second": keys % images, "mirror": mirror, "votes": count})


def _best(pairs: pd.DataFrame) -> list[Candidate]:
    """Select the pairs that are among the `MOST` best of either image."""
    ordered = pairs.sort_values(["votes", "first", "second"], ascending=[False, True, True])
    ends = pd.concat([ordered["first"], ordered["second"]], ignore_index=True)
    # Interleave the two ends, so that an image's pairs are ranked by votes whichever end it is.
    order = np.arange(len(ends)).reshape(2, -1).T.ravel()
    rank = ends.iloc[order].groupby(ends.iloc[order]).cumcount()
    rank = rank.sort_index().to_numpy().reshape(2, -1).min(axis=0)
    kept = ordered[rank < MOST].sort_values(["first", "second", "mirror"])
    columns = (kept[name].tolist() for name in Candidate._fields)
    return [Candidate(*row) for row in zip(*columns, strict=True)]


def _nearest(x: NDArray[np.float32], centres: NDArray[np.float32]) -> NDArray[np.int64]:
    return np.argmax(x @ centres.T, axis=1)


def _unit(descriptors: NDArray[np.uint8]) -> NDArray[np.float32]:
    return descriptors.astype(np.float32) / np.float32(UNIT)


def _unchanged(descriptors: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return descriptors
