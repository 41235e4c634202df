"""Log in and be refused; what a reader sees and what an admin does."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from covid_xray.config import Serving
from covid_xray.store.accounts import Accounts
from covid_xray.store.store import open_database
from support.bundles import grey, make_bundle
from support.drawing import png
from support.servers import Process, upload

PASSWORD = "correct horse battery"


@pytest.fixture(scope="module")
def locked(server: Process, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """A server of its own: as soon as there is a user, everybody must log in."""
    folder = tmp_path_factory.mktemp("locked")
    make_bundle(folder / "bundle")
    (folder / "store").mkdir()
    database = open_database(Serving(store=folder / "store"))
    accounts = Accounts(database)
    accounts.add("ada", password=PASSWORD, role="admin")
    accounts.add("rhea", password=PASSWORD, role="reader")
    token = accounts.new_token("ada")
    database.close()
    with Process(folder) as running:
        with running.client(headers={"Authorization": f"Bearer {token}"}) as http:
            upload(http, png(grey("covid")), "locked.png")
        yield running


def log_in(page: Page, name: str, password: str = PASSWORD) -> None:
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()


def test_refused_then_let_in_to_where_one_was_going(visit: Callable[..., Any], locked: Process) -> None:
    page = visit("/worklist?sort=name&q=locked", address=locked.address)
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


def test_a_reader_neither_deletes_nor_audits(visit: Callable[..., Any], locked: Process) -> None:
    page = visit("/login", address=locked.address)
    log_in(page, "rhea")
    page.goto("/worklist")
    expect(page.locator(".studies")).to_contain_text("locked.png")
    expect(page.get_by_role("link", name="Delete")).to_have_count(0)
    expect(page.get_by_role("link", name="Audit")).to_have_count(0)
    assert page.goto("/audit").status == 403
    expect(page.get_by_role("heading", level=1)).to_have_text("You may not do this.")


def test_an_admin_adds_and_removes_users_and_it_is_written_down(visit: Callable[..., Any], locked: Process) -> None:
    page = visit("/users", address=locked.address)
    log_in(page, "ada")
    page.get_by_label("Name").fill("nia")
    page.get_by_label("Password", exact=True).fill("short enough")
    page.get_by_role("combobox", name="Role").select_option("reader")
    page.get_by_role("button", name="Add").click()
    row = page.get_by_role("row").filter(has_text="nia")
    expect(row).to_contain_text("reader")
    row.locator("summary").click()
    row.get_by_role("button", name="Remove nia").click()
    expect(row).to_have_count(0)
    page.get_by_role("link", name="Audit").click()
    log = page.locator("table.log")
    expect(log).to_contain_text("add-user")
    expect(log).to_contain_text("remove-user")


def test_an_unattended_screen_is_left_for_the_log_in(
    visit: Callable[..., Any], tmp_path: Path, server: Process
) -> None:
    database = open_database(Serving(store=tmp_path / "store"))
    Accounts(database).add("ada", password=PASSWORD, role="admin")
    database.close()
    with Process(tmp_path, "--set", "idle_minutes=0.05") as running:
        page = visit("/users?x=1", address=running.address)
        log_in(page, "ada")
        expect(page.get_by_role("heading", level=1)).to_have_text("Users")
        expect(page.get_by_role("heading", level=1)).to_have_text("Log in", timeout=60_000)
        assert "next=%2Fusers" in page.url
