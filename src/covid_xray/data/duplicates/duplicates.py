"""Images in, those that show one and the same radiograph out: as pairs, as groups, as a table that is stored.

`file`: the same bytes. `pixels`: the same decoded picture. `near`: the same film, however it was cropped, relit,
resized, saved anew, mirrored, turned or written on; proven by laying one over the other.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import combinations, product
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from covid_xray.config import Limits
from covid_xray.data.duplicates.candidate_pairs import Candidate, find_candidates
from covid_xray.data.duplicates.fingerprints import Album, Progress, one_thread_each, open_album
from covid_xray.data.duplicates.pair_sheet import contact_sheet
from covid_xray.data.duplicates.registration import register
from covid_xray.data.manifest.manifest import Manifest
from covid_xray.data.manifest.readers import Refusal
from covid_xray.data.manifest.tables import read_table
from covid_xray.data.split.groups import with_duplicates
from covid_xray.errors import BadManifest
from covid_xray.files import replacing

__all__ = [
    "COLUMNS", "KINDS", "Pair", "contact_sheet", "find_duplicates", "find_pairs", "group_pairs", "join",
    "read_duplicates", "write_duplicates",
]  # fmt: skip

COLUMNS = ("group", "image", "kind", "distance")
KINDS = ("file", "pixels", "near")  # the strongest first
CLOSED = 60  # groups of up to so many pictures have every pair inside them tried


@dataclass(frozen=True, order=True)
class Pair:
    """Two images of one radiograph.

    Args:
        first, second: their names, in code-point order.
        kind: `file`, `pixels` or `near`.
        distance: 0 for the same pixels, else 1 - correlation of the fine detail after alignment.
    """

    first: str
    second: str
    kind: str
    distance: float


@dataclass(frozen=True)
class _Proof:
    first: int
    second: int
    distance: float


def find_pairs(
    paths: Mapping[str, Path],
    *,
    workers: int = 2,
    progress: Progress | None = None,
    on_refused: Callable[[Refusal], None] | None = None,
    limits: Limits | None = None,
) -> list[Pair]:
    """All pairs of images that show one radiograph, sorted by name.

    Args:
        paths: image name to file.
        workers: threads.
        progress: called with (step, done, in all); the steps are `reading`, `comparing`, `proving`.
        on_refused: called for each file that cannot be decoded; the others are compared all the same.
        limits: what one file may cost.
    """
    with open_album(paths, workers=workers, progress=progress, on_refused=on_refused, limits=limits) as album:
        twins = _twins(album)
        one_of_each = np.zeros(len(album), bool)
        one_of_each[[members[0] for members in twins]] = True
        candidates = find_candidates(album, among=one_of_each, workers=workers, progress=progress)
        proofs = _prove(album, candidates, workers=workers, progress=progress)
        proofs += _prove(album, _open_triangles(len(album), proofs, tried=candidates), workers=workers)
        return sorted([*_equal_pairs(album, twins), *_near_pairs(album, twins, proofs)])


def find_duplicates(
    paths: Mapping[str, Path],
    *,
    workers: int = 2,
    progress: Progress | None = None,
    on_refused: Callable[[Refusal], None] | None = None,
    limits: Limits | None = None,
) -> pd.DataFrame:
    """The groups of images that show one radiograph; arguments as for `find_pairs`, result as of `group_pairs`."""
    return group_pairs(find_pairs(paths, workers=workers, progress=progress, on_refused=on_refused, limits=limits))


def group_pairs(pairs: Iterable[Pair]) -> pd.DataFrame:
    """Pairs as a table with the columns group, image, kind, distance: connected components.

    Groups are called d0001 ... in the order of their first image. `kind` and `distance` are those of the image's
    best pair. An image without a pair is not in the table.
    """
    best: dict[str, tuple[int, float]] = {}
    links: dict[str, list[str]] = defaultdict(list)
    for pair in pairs:
        for name, other in ((pair.first, pair.second), (pair.second, pair.first)):
            rank = (KINDS.index(pair.kind), pair.distance)
            best[name] = min(best.get(name, rank), rank)
            links[name].append(other)
    names = sorted(best)
    number = {name: i for i, name in enumerate(names)}
    label = _components(len(names), [(number[a], number[b]) for a in names for b in links[a]])
    width = max(4, len(str(label.max(initial=0) + 1)))
    rows = [
        (f"d{group + 1:0{width}d}", name, KINDS[best[name][0]], round(best[name][1], 4))
        for name, group in zip(names, label, strict=True)
    ]
    table = pd.DataFrame(rows, columns=list(COLUMNS)).astype(
        {"group": str, "image": str, "kind": str, "distance": float}
    )
    return table.sort_values(["group", "image"], ignore_index=True)


def write_duplicates(table: pd.DataFrame, path: Path) -> None:
    """Write a table of duplicates as CSV, atomically."""
    with replacing(path) as temporary:
        table.to_csv(temporary, index=False, columns=list(COLUMNS))


def read_duplicates(path: Path) -> pd.DataFrame:
    """The table that `write_duplicates` wrote: group, image and kind as text, distance as numbers.

    Raises:
        BadManifest: no such file, not this table, or one image in two groups.
    """
    table = read_table(path, required=COLUMNS)
    distance = pd.to_numeric(table["distance"], errors="coerce")
    wrong = table[distance.isna() | ~table["kind"].isin(KINDS) | table["image"].duplicated()]
    if len(wrong):
        raise BadManifest(
            f"expected each image of {path} once, with a distance and a kind out of {', '.join(KINDS)}. "
            f"Received: line {wrong.index[0] + 2}"
        )
    return table[list(COLUMNS)].assign(distance=distance)


def join(table: pd.DataFrame, duplicates: pd.DataFrame) -> pd.DataFrame:
    """The manifest's table with the column `group`: the group of each image that has duplicates, "" for the others.

    Raises:
        BadManifest: the columns are not there, or one image is in two groups.
    """
    return with_duplicates(Manifest(table, Path(), pd.DataFrame()), duplicates).table


def _twins(album: Album) -> list[list[int]]:
    """Numbers of the pictures with the same pixels, for every picture that there is: sets of one and more."""
    twins: dict[str, list[int]] = defaultdict(list)
    for number, digest in enumerate(album.pixels):
        twins[digest].append(number)
    return list(twins.values())


def _prove(
    album: Album, candidates: list[Candidate], *, workers: int, progress: Progress | None = None
) -> list[_Proof]:
    def prove(candidate: Candidate) -> _Proof | None:
        first, second, mirror = candidate
        found = register(album[first], album[second], mirror=mirror)
        return _Proof(first, second, 1 - found.correlation) if found.is_copy else None

    proofs = []
    with one_thread_each(), ThreadPoolExecutor(workers) as pool:
        for done, proof in enumerate(pool.map(prove, candidates), start=1):
            if proof:
                proofs.append(proof)
            if progress:
                progress("proving", done, len(candidates))
    return proofs


def _open_triangles(images: int, proofs: list[_Proof], *, tried: list[Candidate]) -> list[Candidate]:
    """Pairs inside a group that the votes did not bring up."""
    known = {(first, second) for first, second, _ in tried}
    label = _components(images, [(proof.first, proof.second) for proof in proofs])
    members: dict[int, list[int]] = defaultdict(list)
    for number in sorted({n for proof in proofs for n in (proof.first, proof.second)}):
        members[label[number]].append(number)
    small = (group for group in members.values() if len(group) <= CLOSED)
    missing = [pair for group in small for pair in combinations(group, 2) if pair not in known]
    return [Candidate(*pair, mirror) for pair in missing for mirror in (False, True)]


def _equal_pairs(album: Album, twins: list[list[int]]) -> Iterable[Pair]:
    for members in twins:
        for a, b in combinations(members, 2):
            yield _pair(album, a, b, kind="file" if album.files[a] == album.files[b] else "pixels")


def _near_pairs(album: Album, twins: list[list[int]], proofs: list[_Proof]) -> Iterable[Pair]:
    """What holds for one picture holds for those with the same pixels."""
    same = {members[0]: members for members in twins}
    nearest: dict[tuple[int, int], float] = {}
    for proof in proofs:
        key = (proof.first, proof.second)
        nearest[key] = min(nearest.get(key, np.inf), proof.distance)
    for (first, second), distance in nearest.items():
        for a, b in product(same[first], same[second]):
            yield _pair(album, a, b, kind="near", distance=distance)


def _pair(album: Album, a: int, b: int, *, kind: str, distance: float = 0.0) -> Pair:
    first, second = sorted((album.names[a], album.names[b]))
    return Pair(first, second, kind, round(max(0.0, float(distance)), 4))


def _components(size: int, links: list[tuple[int, int]]) -> NDArray[np.int64]:
    """The component of each of `size` nodes, numbered in the order of their first node."""
    ends = np.array(links, np.int64).reshape(-1, 2)
    graph = coo_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(size, size))
    label = connected_components(graph, directed=False)[1]
    _, first, inverse = np.unique(label, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse]
