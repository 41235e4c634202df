"""The how-to page on clinical values names every field, with the unit and the range that the schema has."""

from pathlib import Path

import pytest

from covid_xray import clinical
from covid_xray.errors import InputRefused

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "clinical.md").read_text(encoding="utf-8")


def test_every_field_and_its_range_is_on_the_page() -> None:
    table = [line for line in PAGE.splitlines() if line.startswith("| `")]
    for field in clinical.FIELDS:
        row = next((line for line in table if f"`{field.name}`" in line), "")
        assert row, field.name
        if not field.codes:
            assert field.unit in row
            assert f"{field.high:g}" in row
            assert f"{field.low:g} to" in row


def test_the_refusal_on_the_page_is_the_one_that_is_given() -> None:
    with pytest.raises(InputRefused) as caught:
        clinical.record({"temperature": 98.6})
    assert caught.value.message in PAGE
