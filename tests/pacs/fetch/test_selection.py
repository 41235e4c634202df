"""What may be asked for."""

from datetime import date

import pytest

from covid_xray.errors import UsageError
from covid_xray.pacs.fetch.selection import StudySelection, parse_selection


def test_uids_or_a_date() -> None:
    assert parse_selection(["1.2.3"], None) == StudySelection(("1.2.3",))
    assert parse_selection([], "2026-11-26").since == date(2026, 11, 26)


@pytest.mark.parametrize("asked", [([], None), (["1.2"], "2026-01-01"), (["../x"], None), ([], "yesterday")])
def test_anything_else_is_refused(asked: tuple[list[str], str | None]) -> None:
    with pytest.raises(UsageError):
        parse_selection(*asked)
