"""A failure that lasts is logged when it begins, every quarter of an hour, and when it is over."""

import pytest

from covid_xray.pacs.outage import Outage


def test_it_is_said_once_and_waited_for_longer_and_longer(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="covid_xray.pacs")
    moment = 0.0
    outage = Outage("answers wait", clock=lambda: moment)
    waits = []
    for _ in range(40):
        waits.append(outage.failed("store-full"))
        moment += waits[-1]
    assert waits[:6] == [1, 2, 4, 8, 16, 30]
    assert set(waits[6:]) == {30}
    assert len(caplog.records) == 2  # after 1,000 seconds
    outage.over()
    outage.over()
    assert caplog.records[-1].message == "answers wait: works again after 40 tries (store-full)"
    assert outage.failed("store-full") == 1
    assert len(caplog.records) == 4
    outage.failed("disk")  # another reason is news
    assert len(caplog.records) == 5


def test_it_waits_no_longer_than_it_is_told() -> None:
    outage = Outage("peer archive", longest=2)
    assert [outage.failed("no-answer") for _ in range(4)] == [1, 2, 2, 2]
