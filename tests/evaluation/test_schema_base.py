"""A figure always carries its value, interval and n, and nothing else."""

import pytest

from covid_xray.errors import CovidXrayError
from covid_xray.evaluation.schema_base import Figure, require_schema

WHOLE = {"value": 0.5, "ci_low": 0.25, "ci_high": None, "n": 3}


def test_a_whole_figure_fits_and_comes_back_unchanged():
    assert require_schema(WHOLE, Figure) == WHOLE
    assert Figure(**WHOLE).n == 3


@pytest.mark.parametrize("key", WHOLE)
def test_a_figure_without_one_of_its_parts_is_an_error_that_names_it(key):
    with pytest.raises(CovidXrayError, match=f"{key}: Field required") as caught:
        require_schema({name: value for name, value in WHOLE.items() if name != key}, Figure)
    assert caught.value.code == "wrong-facts"


def test_a_key_that_is_not_published_is_an_error():
    with pytest.raises(CovidXrayError, match="mean"):
        require_schema({**WHOLE, "mean": 0.5}, Figure)
