"""Every page in light and dark and on a phone: no moderate fault of accessibility, no scrolling sideways."""

from collections.abc import Callable
from typing import Any

from playwright.sync_api import expect

from support.pages import PHONE, faults

PAGES = ["/", "/worklist", "/worklist?q=nothing-like-it", "/model", "/users", "/audit", "/login", "/no-such-page"]
OF_STUDY = ["", "/report", "/delete"]


def all_pages(study: str) -> list[str]:
    return [*PAGES, *(study + part for part in OF_STUDY)]


SMALL_TARGETS = """() => {
    const found = [];
    const controls = "button, select, textarea, summary, a.button, nav a, input:not([type=hidden])";
    for (const one of document.querySelectorAll(controls)) {
        const box = (one.closest("label") || one).getBoundingClientRect();
        const shown = one.checkVisibility() && box.width > 0;
        if (shown && (box.width < 24 || box.height < 24)) found.push(one.outerHTML.slice(0, 80));
    }
    return found;
}"""


def test_no_serious_fault_and_every_target_has_24_pixels_a_side(visit: Callable[..., Any], study: str) -> None:
    """Light and dark; WCAG 2.2, 2.5.8 for the targets."""
    page = visit("/")
    found = []
    for path in all_pages(study):
        page.goto(path)
        found += [f"{path}: {one}" for one in page.evaluate(SMALL_TARGETS)]
        if path == study:
            page.keyboard.press("?")
            page.keyboard.press("s")
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            found += faults(page)
    assert not found


def test_no_page_is_wider_than_a_phone_or_has_smaller_targets(visit: Callable[..., Any], study: str) -> None:
    page = visit("/", viewport=PHONE, has_touch=True, is_mobile=True)
    found = []
    for path in all_pages(study):
        page.goto(path)
        width = page.evaluate("document.documentElement.scrollWidth")
        found += [f"{path}: {width} px"] if width > PHONE["width"] else []
        found += [f"{path}: {one}" for one in page.evaluate(SMALL_TARGETS)]
    assert not found


def test_the_pages_behind_a_log_in_fit_a_phone_too(visit_as: Callable[..., Any]) -> None:
    page = visit_as("ada", "/account", viewport=PHONE, has_touch=True, is_mobile=True)
    found = []
    for path in ("/account", "/users", "/audit"):
        page.goto(path)
        width = page.evaluate("document.documentElement.scrollWidth")
        found += [f"{path}: {width} px"] if width > PHONE["width"] else []
        found += [f"{path}: {one}" for one in page.evaluate(SMALL_TARGETS)]
        found += faults(page)
    assert not found


def test_the_focus_goes_from_top_to_bottom(visit: Callable[..., Any], study: str) -> None:
    """WCAG 2.2, 2.4.3: head, title, picture and its tools, then the panel; and each stop can be seen (2.4.11)."""
    page = visit(study, reduced_motion="reduce")
    page.wait_for_load_state()
    places = []
    for _ in range(45):
        page.keyboard.press("Tab")
        place = page.evaluate(
            """() => {
                const one = document.activeElement;
                const area = one.closest(".head, .title, .panel.first, .viewer, .panel.rest, footer");
                const box = (one.closest("label") || one).getBoundingClientRect();
                const seen = box.bottom > 0 && box.top < innerHeight;
                return [area ? area.className.split(" ").at(-1) || "footer" : "", seen];
            }"""
        )
        places.append(place)
    assert not [place for place in places if place[0] and not place[1]]
    order = list(dict.fromkeys(area for area, _ in places if area))
    assert order[:4] == ["head", "title", "viewer", "rest"]


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
