"""Verdicts: where the lines between PASS, WARN and FAIL are."""

import numpy as np
import pandas as pd
import pytest

from covid_xray.data.doctor.pitfall import cramers_v, judge, predictable_share


def test_judge():
    assert [judge(v, warn=0.1, fail=0.3) for v in (0.1, 0.2, 0.31, float("nan"))] == ["PASS", "WARN", "FAIL", "WARN"]


def series(*values: str) -> pd.Series:
    return pd.Series(list(values), dtype=str)


def test_one_column_tells_the_other():
    first = series(*("ab" * 100))
    assert cramers_v(first, first.map({"a": "x", "b": "y"})) == pytest.approx(1.0)


def test_agrees_with_the_chi_square_of_scipy():
    from scipy.stats import chi2_contingency

    random = np.random.default_rng(0)
    first = pd.Series(random.choice(list("abc"), 4000))
    second = first.where(random.random(4000) < 0.4, pd.Series(random.choice(list("abc"), 4000)))
    chi2 = chi2_contingency(pd.crosstab(first, second), correction=False).statistic
    assert cramers_v(first, second) == pytest.approx(np.sqrt(chi2 / 4000 / 2), abs=0.005)


def test_many_values_in_few_rows_do_not_look_like_association():
    random = np.random.default_rng(1)
    pairs = [(random.choice(list("ab"), 60), random.choice(list("abcdefghijklmnop"), 60)) for _ in range(50)]
    values = [cramers_v(pd.Series(first), pd.Series(second)) for first, second in pairs]
    assert np.mean(values) < 0.15


def test_unknown_cells_are_left_out_and_nothing_known_is_nan():
    assert cramers_v(series("a", "b", "a", "b", "a"), series("x", "y", "x", "y", "")) == pytest.approx(1.0)
    assert np.isnan(cramers_v(series("a", "b", "a"), series("x", "x", "x")))
    assert np.isnan(cramers_v(series("a", "b"), series("", "")))


def test_predictable_share_is_the_share_of_the_commonest():
    assert predictable_share(series("a", "a", "b", "b"), series("x", "x", "x", "y")) == pytest.approx(3 / 4)
