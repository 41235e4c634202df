"""Compare two samples: energy distance and population stability index, with p-values by permutation within strata.

`scipy.stats.permutation_test` calls a Python function for each permutation and knows no strata; here one matrix
product gives the statistics of all.
"""

import numpy as np
from numpy.typing import NDArray

Groups = NDArray[np.bool_]  # permutations x images: whether an image is in the second sample; the first row is real
Strata = NDArray[np.intp]  # images -> number of its stratum
LEAST = 8  # images of either sample in a stratum
_ROUNDING = 1e-9  # share of the largest variance; such errors depend on the order of the images


def permute(second: NDArray[np.bool_], strata: Strata, *, count: int, rng: np.random.Generator) -> Groups:
    """Return the membership and `count` permutations of it within strata."""
    groups = np.tile(second, (count + 1, 1))
    for stratum in np.unique(strata):
        members = np.flatnonzero(strata == stratum)
        groups[1:, members] = rng.permuted(groups[1:, members], axis=1)
    return groups


def stratify(values: NDArray[np.float64], second: NDArray[np.bool_], *, strata: int = 4) -> Strata:
    """Divide images by quantiles of a value, merging neighbours until both samples have `LEAST` in each.

    Where they hardly overlap one stratum is left. Values that are not finite are taken as the lowest.
    """
    known = np.where(np.isfinite(values), values, -np.inf)
    finite = known[np.isfinite(known)]
    edges = np.quantile(finite, np.arange(1, strata) / strata) if len(finite) else np.empty(0)
    codes = np.searchsorted(edges, known, side="right")
    merged, number, counts = np.zeros(strata, np.intp), 0, np.zeros(2, int)
    for code in range(strata):
        merged[code] = number
        counts += [int(((codes == code) & (second == side)).sum()) for side in (False, True)]
        if counts.min() >= LEAST:
            number, counts = number + 1, np.zeros(2, int)
    return np.minimum(merged, max(0, number - 1))[codes]


def distances(features: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the N x N Euclidean distances of N x F features, each feature divided by its standard deviation."""
    spread = features.std(axis=0)
    scaled = (features - features.mean(axis=0)) / np.where(spread > 1e-9, spread, np.inf)
    squares = (scaled**2).sum(axis=1)
    found: NDArray[np.float64] = np.sqrt(np.maximum(squares[:, None] + squares - 2 * scaled @ scaled.T, 0.0))
    return found


def principal(features: NDArray[np.float64], *, count: int) -> NDArray[np.float64]:
    """Return the first principal components of N x F features, without those that are rounding errors."""
    centred = features - features.mean(axis=0)
    values, vectors = np.linalg.eigh(centred @ centred.T)  # N x N: there are fewer images than features
    kept = np.flatnonzero(values > _ROUNDING * values[-1])[::-1][:count]
    components: NDArray[np.float64] = vectors[:, kept] * np.sqrt(values[kept])
    return components


def energy(pairwise: NDArray[np.float64], groups: Groups, strata: Strata) -> NDArray[np.float64]:
    """Return the energy statistic (Szekely and Rizzo 2013) of each row of `groups`, summed over strata.

    For samples of n and m images it is nm / (n + m) * (2 E|X - Y| - E|X - X'| - E|Y - Y'|).
    """
    weights = np.zeros(groups.shape)
    for stratum in np.unique(strata):
        members = strata == stratum
        m = int(groups[0, members].sum())
        n = int(members.sum()) - m
        if n and m:
            scale = np.sqrt(n * m / (n + m))
            weights[:, members] = np.where(groups[:, members], scale / m, -scale / n)
    within = np.where(strata[:, None] == strata, pairwise, 0.0)
    return -np.einsum("bi,bi->b", weights @ within, weights)


def stability_index(codes: NDArray[np.intp], groups: Groups) -> NDArray[np.float64]:
    """Return the population stability index of categories for each row of `groups`, half an image added to each."""
    table = np.eye(int(codes.max()) + 1)[codes]
    second = groups @ table + 0.5
    first = table.sum(axis=0) + 1.0 - second
    p, q = first / first.sum(axis=1, keepdims=True), second / second.sum(axis=1, keepdims=True)
    found: NDArray[np.float64] = ((p - q) * np.log(p / q)).sum(axis=1)
    return found


def p_value(statistics: NDArray[np.float64]) -> float:
    """Return the share of permutations whose statistic is as large as the first, itself included."""
    return float(np.mean(statistics >= statistics[0] * (1 - 1e-9)))
