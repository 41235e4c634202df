"""Test whether the newest images of a hospital differ from a reference, and name the kind of change.

Every `EVERY` images the newest `WINDOW` are compared with each reference by four tests, and a CUSUM follows the share
of positive answers. The limits keep all tests together to `FALSE_ALARMS` false alarms in 1,000 images without a
change, by the union bound: windows overlap, so the true number is smaller.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from covid_xray.errors import UsageError
from covid_xray.inference.drift import cusum
from covid_xray.inference.drift.reference import REFUSED, Observation, Reference
from covid_xray.inference.drift.two_sample import (
    Groups,
    Strata,
    distances,
    energy,
    p_value,
    permute,
    principal,
    stability_index,
    stratify,
)

Kind = Literal["appearance", "prevalence"]
EVERY = 25  # images between two looks
WINDOW = 100  # images that are compared at most
FALSE_ALARMS = 0.25  # of all tests together in 1,000 images
REFERENCES = 2  # commissioning or first images, and last month
TESTS: Mapping[str, Kind] = {
    "embeddings": "appearance",
    "pictures": "appearance",
    "files": "appearance",
    "answers": "prevalence",
    "positives": "prevalence",
}
LIMIT = (FALSE_ALARMS - cusum.CHANCE) * EVERY / cusum.HORIZON / (4 * REFERENCES)  # p-value of one test
_FIRST, _MORE = 199, 9999  # permutations; the more only where the first leave a doubt
_DOUBT = 0.03
_COMPONENTS = 32  # of the embeddings
_LEAST = EVERY  # images of either sample


@dataclass(frozen=True)
class Result:
    """The result of one test.

    Args:
        test: a key of `TESTS`.
        against: name of the reference.
        value: the statistic; of `positives` the larger of the two sums.
        p: p-value; `None` for `positives`.
        severity: 1 at the limit, above it an alarm: log p / log limit, or sum / limit.
    """

    test: str
    against: str
    value: float
    p: float | None
    severity: float

    @property
    def alarm(self) -> bool:
        """Whether the limit is passed."""
        return self.severity > 1.0


def compare(
    recent: Sequence[Observation], reference: Sequence[Observation], *, against: str, seed: int
) -> list[Result]:
    """Compare the newest images with a reference by the four tests that need no memory.

    The tests of embeddings and pictures permute within strata of the probability of illness: a change of prevalence
    alone leaves what images of one probability look like, a change of appearance does not. Tests without enough images
    are left out.
    """
    rows = [*reference, *recent]
    second = np.arange(len(rows)) >= len(reference)
    seen = np.array([row.embedding is not None and row.figures is not None for row in rows], bool)
    found: list[Result] = []
    if min(len(reference), len(recent)) < _LEAST:
        return found
    answers = _codes([row.answer for row in rows])
    files = _codes([f"{row.view} {row.vendor}" for row in rows])
    rng = np.random.default_rng(seed)

    def test(name: str, statistics: "_Statistics") -> None:
        found.append(_tested(name, against, statistics, rng))

    test("answers", _Statistics(second, np.zeros(len(rows), np.intp), codes=answers))
    if min(seen[~second].sum(), seen[second].sum()) < _LEAST:
        return found
    test("files", _Statistics(second[seen], np.zeros(int(seen.sum()), np.intp), codes=files[seen]))
    shown = [row for row, one in zip(rows, seen, strict=True) if one]
    ill = np.array([np.nan if row.ill is None else row.ill for row in shown])
    strata = stratify(ill, second[seen])
    embeddings = principal(_array([row.embedding for row in shown]), count=_COMPONENTS)
    for name, features in (("embeddings", embeddings), ("pictures", _array([row.figures for row in shown]))):
        test(name, _Statistics(second[seen], strata, pairwise=distances(features)))
    return found


def compare_references(recent: Reference, known: Reference) -> tuple[Kind | None, list[Result]]:
    """Compare the samples of two archives, or of an archive and a site, by one look.

    Raises:
        UsageError: they are of two networks.
    """
    if recent.model_sha256 != known.model_sha256:
        raise UsageError("The two are of different networks. Score the archive with the network of the reference.")
    results = compare(recent.observations, known.observations, against="reference", seed=0)
    return kind_of(results), results


def follow(
    state: tuple[float, float], new: Sequence[Observation], reference: Sequence[Observation], *, against: str
) -> tuple[Result | None, tuple[float, float]]:
    """Advance the CUSUM of the share of positives by the new images; `None` without a reference."""
    known = positives(reference)
    if len(known) < _LEAST:
        return None, (0.0, 0.0)
    share = cusum.expected_share(sum(known), len(known))
    state = cusum.advance(state, positives(new), share=share)
    limit = cusum.limit(sum(known), len(known))
    return Result("positives", against, max(state), None, max(state) / limit), state


def positives(observations: Sequence[Observation]) -> list[bool]:
    """Say of each image with a probability whether it is more likely ill than normal."""
    return [row.ill > 0.5 for row in observations if row.ill is not None and row.answer != REFUSED]


def kind_of(results: Sequence[Result]) -> Kind | None:
    """Name the change: `appearance` if any test that a change of prevalence leaves alone passes its limit."""
    kinds = {TESTS[result.test] for result in results if result.alarm}
    return None if not kinds else "appearance" if "appearance" in kinds else "prevalence"


@dataclass(frozen=True, eq=False)
class _Statistics:
    """The data of one permutation test: categories for the stability index, or distances for the energy statistic."""

    second: NDArray[np.bool_]
    strata: Strata
    codes: NDArray[np.intp] | None = None
    pairwise: NDArray[np.float64] | None = None

    def measure(self, groups: Groups) -> NDArray[np.float64]:
        if self.codes is not None:
            return stability_index(self.codes, groups)
        assert self.pairwise is not None
        return energy(self.pairwise, groups, self.strata)


def _tested(name: str, against: str, data: _Statistics, rng: np.random.Generator) -> Result:
    for count in (_FIRST, _MORE):
        values = data.measure(permute(data.second, data.strata, count=count, rng=rng))
        p = p_value(values)
        if p > _DOUBT:
            break
    return Result(name, against, float(values[0]), p, abs(float(np.log(p) / np.log(LIMIT))))


def _codes(values: Sequence[str]) -> NDArray[np.intp]:
    return np.unique(np.array(values), return_inverse=True)[1].astype(np.intp)


def _array(rows: Sequence[NDArray[np.float32] | None]) -> NDArray[np.float64]:
    return np.nan_to_num(np.array(rows, np.float64), posinf=0.0, neginf=0.0)
