"""The worklist: find, sort, page, delete, export; and how it keeps itself up to date."""

import csv
import io
import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from playwright.sync_api import Page, expect

from support.bundles import grey
from support.drawing import png
from support.servers import Process, upload


def names(page: Page) -> list[str]:
    return page.locator(".studies .file a").all_inner_texts()


def test_most_suspicious_first_or_as_asked(visit: Callable[..., Any]) -> None:
    page = visit("/worklist?q=-1.png")
    assert names(page) == ["covid-1.png", "virus-1.png", "normal-1.png"]
    page.get_by_role("combobox", name="Order").select_option("name")
    expect(page.locator(".studies .file a").last).to_have_text("virus-1.png")
    assert names(page) == ["covid-1.png", "normal-1.png", "virus-1.png"]
    page.get_by_label("Reversed").check()
    expect(page.locator(".studies .file a").first).to_have_text("virus-1.png")
    assert "sort=name" in page.url
    page.reload()
    assert names(page) == ["virus-1.png", "normal-1.png", "covid-1.png"]


def test_search_and_filter_narrow_it(visit: Callable[..., Any]) -> None:
    page = visit("/worklist")
    page.get_by_label("Search").press_sequentially("normal-")
    expect(page.locator(".studies .file a")).to_have_text(["normal-2.png", "normal-1.png"])
    page.get_by_role("combobox", name="Result").select_option("covid")
    expect(page.locator("#studies")).to_contain_text("No matching study.")
    page.get_by_role("link", name="Clear the filters").click()
    page.get_by_label("From").fill("2999-01-01")
    expect(page.locator("#studies")).to_contain_text("No matching study.")


def test_reviewed_or_not(visit: Callable[..., Any], study: str) -> None:
    page = visit(study)
    page.get_by_label("Agree", exact=True).check()
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".said li")).to_have_count(1)
    page.goto("/worklist?q=fresh&feedback=agree")
    row = page.locator(f"#s-{study.rpartition('/')[2]}")
    expect(row).to_contain_text("agreed")
    page.get_by_role("combobox", name="Review").select_option("none")
    expect(row).to_have_count(0)


def test_delete_asks_first(visit: Callable[..., Any], study: str) -> None:
    page = visit("/worklist?q=fresh")
    row = page.locator(f"#s-{study.rpartition('/')[2]}")
    row.get_by_role("link", name="Delete").click()
    page.get_by_role("link", name="Keep it").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("fresh.png")
    page.get_by_role("link", name="Delete").click()
    page.get_by_role("button", name="Delete it").click()
    expect(page).to_have_url(re.compile("/worklist"))
    expect(row).to_have_count(0)
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("fresh.png")
    page.get_by_role("link", name="Delete").click()
    page.get_by_role("button", name="Delete it").click()
    page.goto(study)
    expect(page.get_by_role("heading", level=1)).to_have_text("There is nothing here.")


def test_what_is_shown_is_what_is_exported(visit: Callable[..., Any]) -> None:
    page = visit("/worklist?q=-2.png&since=2020-01-01&sort=name")
    with page.expect_download() as download:
        page.get_by_role("link", name="Export as CSV").click()
    rows = list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text(encoding="utf-8"))))
    assert [row["name"] for row in rows] == names(page) == ["covid-2.png", "normal-2.png", "virus-2.png"]


def test_it_shows_what_came_meanwhile(visit: Callable[..., Any], server: Process) -> None:
    page = visit("/worklist?q=meanwhile")
    expect(page.locator("#studies")).to_contain_text("No matching study.")
    with server.client() as http:
        upload(http, png(grey("virus", seed=77)), "meanwhile.png")
    # The clock of the page would take ten seconds; this is what it does then.
    page.locator("#studies").dispatch_event("refresh-studies")
    expect(page.locator(".studies .file a")).to_have_text(["meanwhile.png"])


def test_next_and_previous_follow_its_order(visit: Callable[..., Any]) -> None:
    page = visit("/worklist?q=-1.png&sort=name")
    page.get_by_role("link", name="covid-1.png", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("covid-1.png")
    expect(page.locator("#before")).to_have_count(0)
    page.wait_for_load_state()  # the script that listens to keys comes last
    page.keyboard.press("n")
    expect(page.get_by_role("heading", level=1)).to_have_text("normal-1.png")
    page.get_by_role("link", name="Previous").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("covid-1.png")


def test_what_has_no_answer_stands_on_top_in_a_group_of_its_own(
    visit: Callable[..., Any], server: Process, close_study: str
) -> None:
    with server.client() as http:
        http.post("/api/v1/predict", files={"file": ("fax.pdf", b"%PDF-1.7 fax")})
    page = visit("/worklist?sort=name")
    group = page.locator(".attention")
    expect(group.locator(".refusals")).to_contain_text("fax.pdf")
    expect(group).to_contain_text("This is no image file.")
    close = group.locator(f"#s-{close_study.rpartition('/')[2]}")
    expect(close).to_contain_text("Cannot say: close call")
    assert "%" not in close.inner_text()
    assert group.bounding_box()["y"] < page.locator("#studies > .studies").bounding_box()["y"]
    group.get_by_role("button", name="Dealt with fax.pdf").click()
    expect(page.locator("#studies")).not_to_contain_text("fax.pdf")


def test_two_chosen_studies_are_compared(visit: Callable[..., Any]) -> None:
    page = visit("/worklist?q=-1.png&sort=name")
    page.get_by_role("checkbox", name="Compare covid-1.png").check()
    page.get_by_role("button", name="Compare the two chosen").click()
    expect(page.get_by_text("Choose two studies to compare.")).to_be_visible()
    page.goto("/worklist?q=-1.png&sort=name")
    page.get_by_role("checkbox", name="Compare covid-1.png").check()
    page.get_by_role("checkbox", name="Compare virus-1.png").check()
    page.get_by_role("button", name="Compare the two chosen").click()
    expect(page.locator(".which")).to_have_count(2)
    expect(page.locator(".panel.rest")).to_contain_text("Nothing says that this is the same patient.")


def test_it_is_readable_at_every_width(visit: Callable[..., Any], close_study: str) -> None:
    page = visit("/worklist")
    for width in (1440, 1024, 768, 375, 320):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        for cell in page.locator(f"#s-{close_study.rpartition('/')[2]} td.file, .studies td.answer").all()[:4]:
            assert cell.bounding_box()["width"] >= 100, width


def test_days_are_those_of_the_reader(visit: Callable[..., Any]) -> None:
    page = visit("/worklist", timezone_id="Asia/Tokyo")
    page.reload()  # the browser tells its zone on the first page
    expect(page.locator(".zone")).to_contain_text("Asia/Tokyo")
    shown, moment = page.locator("#studies time").first.evaluate("time => [time.textContent, time.dateTime]")
    local = datetime.fromisoformat(moment).astimezone(ZoneInfo("Asia/Tokyo"))
    assert shown.endswith(f"{local:%H:%M}")


def test_a_list_that_refreshes_itself_is_no_use_of_the_session(visit: Callable[..., Any]) -> None:
    page = visit("/worklist")
    with page.expect_request("**/worklist*") as asked:
        page.evaluate("document.getElementById('studies').dispatchEvent(new Event('refresh-studies'))")
    assert asked.value.headers["x-background"] == "true"
