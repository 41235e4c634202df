"""Log in and be refused; what a reader sees and what an admin does."""

import re
from collections.abc import Callable
from typing import Any

from playwright.sync_api import Page, expect

PASSWORD, NEW = "correct horse battery", "another staple entirely"


def log_in(page: Page, name: str, password: str = PASSWORD) -> None:
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()


def test_refused_then_let_in_to_where_one_was_going(visit: Callable[..., Any], ward: Any) -> None:
    page = visit("/worklist?sort=name&q=locked", address=ward.address)
    expect(page.get_by_role("heading", level=1)).to_have_text("Log in")
    log_in(page, "rhea", "wrong horse battery")
    expect(page.get_by_role("alert")).to_have_text("Wrong name or password.")
    log_in(page, "rhea")
    expect(page.get_by_role("heading", level=1)).to_have_text("Worklist")
    expect(page).to_have_url(re.compile(r"/worklist\?sort=name&q=locked$"))
    expect(page.locator(".studies")).to_contain_text("locked.png")
    page.get_by_role("button", name="Log out").click()
    page.goto("/worklist")
    expect(page.get_by_role("heading", level=1)).to_have_text("Log in")


def test_a_reader_neither_deletes_nor_audits(visit_as: Callable[..., Any]) -> None:
    page = visit_as("rhea", "/worklist")
    expect(page.locator(".studies")).to_contain_text("locked.png")
    expect(page.get_by_role("link", name="Delete")).to_have_count(0)
    expect(page.get_by_role("link", name="Audit")).to_have_count(0)
    assert page.goto("/audit").status == 403
    expect(page.get_by_role("heading", level=1)).to_have_text("You may not do this.")


def test_an_admin_adds_lets_in_and_removes_users_and_it_is_written_down(
    visit: Callable[..., Any], visit_as: Callable[..., Any], ward: Any
) -> None:
    page = visit_as("ada", "/users")
    page.get_by_label("Name").fill("nia")
    page.get_by_label("Password", exact=True).fill("short enough")
    page.get_by_role("combobox", name="Role").select_option("reader")
    page.get_by_role("button", name="Add").click()
    row = page.get_by_role("row").filter(has_text="nia")
    expect(row).to_contain_text("reader")
    row.get_by_text("Set a password", exact=False).click()
    row.get_by_label("New password").fill(NEW)
    row.get_by_role("button", name="Set the password of nia").click()
    expect(page.get_by_role("status").first).to_contain_text("The password is set.")
    other = visit("/login", address=ward.address)
    log_in(other, "nia", NEW)
    expect(other.get_by_role("heading", level=1)).to_have_text("Classify chest radiographs")
    row.locator(".sure summary").click()
    row.get_by_role("button", name="Remove nia").click()
    expect(row).to_have_count(0)
    page.get_by_role("link", name="Audit").click()
    for action in ("add-user", "set-password", "remove-user"):
        expect(page.locator("table.log")).to_contain_text(action)


def test_an_unattended_screen_is_left_for_the_log_in(visit_as: Callable[..., Any], ward: Any) -> None:
    page = visit_as("ada", "/healthz")
    page.clock.install()
    page.goto("/users?x=1")
    expect(page.get_by_role("heading", level=1)).to_have_text("Users")
    idle = float(page.locator('meta[name="idle-seconds"]').get_attribute("content"))
    with ward.accounts() as accounts:  # as the server does after that time
        accounts.log_out_user("ada")
    page.clock.fast_forward(1000 * (idle + 3))
    expect(page.get_by_role("heading", level=1)).to_have_text("Log in")
    assert "next=%2Fusers" in page.url
