"""The CUSUM of the share of positives: quick where the share doubles, quiet where it stays."""

import numpy as np
import pytest

from covid_xray.inference.drift import cusum


def first_alarm(share: float, *, seed: int, positive: int = 60, images: int = 300) -> int | None:
    rng, state = np.random.default_rng(seed), (0.0, 0.0)
    limit = cusum.limit(positive, images)
    for number, one in enumerate(rng.random(cusum.HORIZON) < share, start=1):
        state = cusum.advance(state, [bool(one)], share=cusum.expected_share(positive, images))
        if max(state) > limit:
            return number
    return None


def test_a_share_that_doubles_is_noticed() -> None:
    found = [first_alarm(0.4, seed=seed) or 9999 for seed in range(20)]
    assert np.median(found) < 100


def test_a_share_that_vanishes_is_noticed() -> None:
    assert (first_alarm(0.0, seed=1) or 9999) < 100


def test_false_alarms_keep_to_their_chance() -> None:
    """With a share that is drawn as a reference of 300 images leaves it open."""
    rng = np.random.default_rng(5)
    shares = rng.beta(60.5, 240.5, 100)
    alarms = sum(first_alarm(float(share), seed=100 + i) is not None for i, share in enumerate(shares))
    assert alarms <= 12  # 5 are expected; 13 or more of 100 have a chance below .002


@pytest.mark.parametrize("images", [30, 100, 300])
def test_a_small_reference_makes_a_higher_limit(images: int) -> None:
    assert cusum.limit(images // 5, images) >= cusum.limit(images, 5 * images) - 0.3


def test_a_reference_without_positives_has_a_share_above_zero() -> None:
    assert 0 < cusum.expected_share(0, 100) < 0.01
    assert cusum.expected_share(100, 100) < 1
    assert np.isfinite(cusum.limit(0, 100))
