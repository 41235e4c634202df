"""The language and the zone of a request, and numbers and times in them."""

from collections.abc import Iterator
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from starlette.requests import Request

from covid_xray.serving.views import languages
from covid_xray.serving.views.languages import choose, count, decimal, gettext, moment, use, zone_of


@pytest.fixture(autouse=True)
def english() -> Iterator[None]:
    yield
    use("en")


def asked(accepted: str = "", cookie: str = "") -> Request:
    headers = [(b"accept-language", accepted.encode()), (b"cookie", cookie.encode())]
    return Request({"type": "http", "headers": headers})


@pytest.mark.parametrize(
    ("accepted", "chosen"), [("", "en"), ("en-US,en;q=0.9", "en"), ("xx", "en"), ("nl,en;q=0.3", "en")]
)
def test_english_where_nothing_else_is_known(accepted: str, chosen: str) -> None:
    assert choose(asked(accepted)) == chosen


def test_the_cookie_comes_before_the_browser_and_nonsense_does_not() -> None:
    assert choose(asked("xx", "covid-xray-language=en"), default="en") == "en"
    assert choose(asked("en", "covid-xray-language=../../etc"), default="en") == "en"


def test_times_are_those_of_the_zone() -> None:
    time = datetime(2026, 11, 24, 23, 30, tzinfo=UTC)
    assert moment(time) == "24 Nov 2026, 23:30"
    use("en", ZoneInfo("Europe/Berlin"))
    assert moment(time) == "25 Nov 2026, 00:30"


def test_a_zone_that_does_not_exist_is_none() -> None:
    assert zone_of("Europe%2FBerlin") == ZoneInfo("Europe/Berlin")
    assert zone_of("../etc/passwd") is zone_of("Nowhere") is zone_of("Europe") is zone_of("") is None


def test_numbers_and_messages() -> None:
    assert (decimal(91.44, digits=1), decimal(3, digits=0), count(12345)) == ("91.4", "3", "12,345")
    assert gettext("%(name)s is ruled in", name="covid") == "covid is ruled in"
    assert gettext("SpO2 below 70 % is rare") == "SpO2 below 70 % is rare"  # no values: no place to fill in


def test_english_is_the_source_and_needs_no_review() -> None:
    assert languages.reviewer("en")
