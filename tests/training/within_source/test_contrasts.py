"""Which images are set against which, and how they are drawn."""

import numpy as np
import pytest

from covid_xray.errors import InputRefused
from covid_xray.training.within_source.contrasts import POOLED, draw_batch, find_contrasts

# a: both sides; b: ill alone; c: well alone; d: too few of either side to stand alone
SOURCES = ["a"] * 40 + ["b"] * 30 + ["c"] * 900 + ["d"] * 6
ILL = [False] * 20 + [True] * 20 + [True] * 30 + [False] * 900 + [True, False] * 3


def test_a_source_with_both_sides_is_a_contrast_and_the_rest_is_pooled() -> None:
    single, pooled = find_contrasts(ILL, SOURCES)
    assert (single.name, pooled.name) == ("a", POOLED)
    assert [len(group) for group in (*single.well, *single.ill)] == [20, 20]
    assert [len(group) for group in pooled.well] == [20, 400], "a large source does not fill the pool"
    assert [len(group) for group in pooled.ill] == [30], "the ill of a source with healthy images are not pooled"


def test_both_sides_of_a_pair_come_from_one_contrast() -> None:
    contrasts = find_contrasts(ILL, SOURCES)
    images, number = draw_batch(contrasts, pairs=10, random=np.random.default_rng(0))
    ill = np.array(ILL)[images]
    assert not ill[:10].any()
    assert ill[10:].all()
    assert (number[:10] == number[10:]).all()
    assert sorted(np.bincount(number[:10])) == [5, 5], "contrasts take turns"
    of_a = np.array(SOURCES)[images][number == 0]
    assert set(of_a) == {"a"}


def test_classes_that_share_no_source_and_have_no_healthy_are_refused() -> None:
    with pytest.raises(InputRefused, match="No source has 10 healthy and 10 ill") as caught:
        find_contrasts([True] * 30, ["a"] * 15 + ["b"] * 15)
    assert caught.value.code == "no-contrast"
