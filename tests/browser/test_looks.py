"""Every page in light and dark and on a phone: no serious fault of accessibility, no scrolling sideways."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import expect

from support.pages import PHONE, faults

PAGES = ["/", "/worklist", "/worklist?q=nothing-like-it", "/model", "/users", "/audit", "/login", "/no-such-page"]
OF_STUDY = ["", "/report", "/delete"]


def all_pages(study: str) -> list[str]:
    return [*PAGES, *(study + part for part in OF_STUDY)]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_serious_fault(visit: Callable[..., Any], study: str, scheme: str) -> None:
    page = visit("/", color_scheme=scheme)
    found = []
    for path in all_pages(study):
        page.goto(path)
        if path == study:
            page.keyboard.press("?")
            page.keyboard.press("s")
        found += faults(page)
    assert not found


def test_no_page_is_wider_than_a_phone(visit: Callable[..., Any], study: str) -> None:
    page = visit("/", viewport=PHONE, has_touch=True, is_mobile=True)
    wide = []
    for path in all_pages(study):
        page.goto(path)
        width = page.evaluate("document.documentElement.scrollWidth")
        if width > PHONE["width"]:
            wide.append(f"{path}: {width}")
    assert not wide


def test_the_theme_is_a_choice_that_lasts(visit: Callable[..., Any]) -> None:
    page = visit("/", color_scheme="light")
    light = page.locator("body").evaluate("body => getComputedStyle(body).backgroundColor")
    button = page.get_by_role("button", name="Theme")
    button.click()
    button.click()
    expect(button).to_have_text("Theme: dark")
    page.goto("/worklist")
    expect(button).to_have_text("Theme: dark")
    assert page.locator("body").evaluate("body => getComputedStyle(body).backgroundColor") != light


def test_the_first_tab_skips_to_the_content(visit: Callable[..., Any]) -> None:
    page = visit("/worklist")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#content")).to_be_focused()
