"""The drift page: what was noticed, a chart for each test with its limit and alarms, the answers of each day."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import expect

from support.pages import PHONE, faults


def test_an_alarm_is_a_banner_a_sentence_and_a_mark(visit_as: Callable[..., Any]) -> None:
    page = visit_as("ada", "/")
    banner = page.get_by_role("complementary", name="Drift")
    expect(banner).to_contain_text("Drift: a change of appearance.")
    banner.get_by_role("link", name="What was noticed").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Drift")
    expect(page.locator(".note.bad")).to_contain_text("The appearance of the images has changed.")
    chart = page.get_by_role("img", name="Features of the network")
    expect(chart).to_be_visible()
    expect(chart.locator("circle.alarm")).to_have_count(1)
    expect(chart.locator("line.limit")).to_have_count(1)
    expect(page.get_by_role("complementary", name="Drift")).to_have_count(0)  # the page itself needs no banner


@pytest.mark.parametrize("options", [{}, {"viewport": PHONE, "has_touch": True, "is_mobile": True}])
def test_it_is_read_by_everybody_and_fits(visit_as: Callable[..., Any], options: dict) -> None:
    page = visit_as("ada", "/monitor", **options)
    assert not faults(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]


def test_nothing_was_noticed_yet(visit: Callable[..., Any]) -> None:
    page = visit("/monitor")
    expect(page.locator("main .note")).to_contain_text("The first 300 images are being collected")
    expect(page.locator("circle.alarm")).to_have_count(0)
