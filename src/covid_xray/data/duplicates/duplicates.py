"""Find images that show one radiograph, as pairs and as a stored table of groups.

`file`: equal bytes. `pixels`: equal decoded pixels. `near`: the same film after cropping, change of contrast, resizing,
recompression, mirroring, rotation or annotation; proven by registration.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import combinations, product
from pathlib import Path

import numpy as np
import pandas as pd

from covid_xray.config import Limits
from covid_xray.data.duplicates.candidate_pairs import Candidate, find_candidates
from covid_xray.data.duplicates.fingerprints import Album, Progress, one_thread_each, open_album
from covid_xray.data.duplicates.registration import register
from covid_xray.data.manifest.readers import Refusal
from covid_xray.data.manifest.tables import read_table
from covid_xray.data.split.groups import components
from covid_xray.errors import BadManifest
from covid_xray.files import replacing

COLUMNS = ("group", "image", "kind", "distance")
KINDS = ("file", "pixels", "near")  # the strongest first
CLOSED = 60  # in groups of at most this size every pair is compared


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
    """Find all pairs of images that show one radiograph, sorted by name.

    Args:
        paths: image name to file.
        workers: threads.
        progress: called with (step, done, number); the steps are `reading`, `comparing`, `proving`.
        on_refused: called for each file that cannot be decoded.
        limits: limits for one file.
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
    """Find groups of images that show one radiograph; arguments of `find_pairs`, result of `group_pairs`."""
    return group_pairs(find_pairs(paths, workers=workers, progress=progress, on_refused=on_refused, limits=limits))


def group_pairs(pairs: Iterable[Pair]) -> pd.DataFrame:
    """Join pairs into groups (connected components): a table with the columns group, image, kind, distance.

    Groups are called d0001 ... in the order of their first image. `kind` and `distance` are those of the image's
    best pair. Images without a pair are not in the table.
    """
    pairs = list(pairs)
    best: dict[str, tuple[int, float]] = {}
    for pair in pairs:
        rank = (KINDS.index(pair.kind), pair.distance)
        for name in (pair.first, pair.second):
            best[name] = min(best.get(name, rank), rank)
    names = sorted(best)
    number = {name: i for i, name in enumerate(names)}
    label = components(len(names), [(number[pair.first], number[pair.second]) for pair in pairs])
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
    """Read the table of `write_duplicates`: group, image and kind as text, distance as numbers.

    Raises:
        BadManifest: no such file, another table, or one image in two groups.
    """
    table = read_table(path, required=COLUMNS)
    distance = pd.to_numeric(table["distance"], errors="coerce")
    wrong = table[distance.isna() | ~table["kind"].isin(KINDS) | table["image"].duplicated()]
    if len(wrong):
        needed = f"Each image needs one line, with a distance and a kind out of {', '.join(KINDS)}."
        raise BadManifest(f"Line {wrong.index[0] + 2} of {path} is wrong. {needed}")
    return table[list(COLUMNS)].assign(distance=distance)


def _twins(album: Album) -> list[list[int]]:
    """Group the numbers of the images by equal pixels; an image without equals is a group of its own."""
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
    """Return the pairs within a group that had too few votes."""
    known = {(first, second) for first, second, _ in tried}
    label = components(images, [(proof.first, proof.second) for proof in proofs])
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
    """Yield the proven pairs, also for all images with the same pixels."""
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
