"""The drift page: what was noticed, a chart for each test with its limit and alarms, the answers of each day."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import expect

from covid_xray.config import Serving
from covid_xray.inference.drift.checks import Result
from covid_xray.store.drift import rows
from covid_xray.store.drift.rows import Check
from covid_xray.store.store import open_database
from support.bundles import make_bundle
from support.pages import PHONE, faults
from support.servers import Process


@pytest.fixture(scope="module")
def watched(server: Process, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """A server that starts with two checks, the second one an alarm, and the answers of a day."""
    folder = tmp_path_factory.mktemp("watched")
    make_bundle(folder / "bundle")
    (folder / "store").mkdir()
    database = open_database(Serving(store=folder / "store"))
    with Process(folder) as running:
        with running.client() as http:
            model = http.get("/api/v1/model").json()["sha256"]
        for images, severity, kind in ((25, 0.5, None), (50, 1.25, "appearance")):
            results = (Result("embeddings", "commissioning", 1.0, 0.5, severity),)
            check = Check(images, rows.today(), images, 0.0, 0.0, kind, results)
            rows.add_check(database, check, model_sha256=model)
        database.close()
        running.stop()
        with running:
            yield running


def test_an_alarm_is_a_banner_a_sentence_and_a_mark(visit: Callable[..., Any], watched: Process) -> None:
    page = visit("/", address=watched.address)
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
def test_it_is_read_by_everybody_and_fits(visit: Callable[..., Any], watched: Process, options: dict) -> None:
    page = visit("/monitor", address=watched.address, **options)
    assert not faults(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]


def test_nothing_was_noticed_yet(visit: Callable[..., Any]) -> None:
    page = visit("/monitor")
    expect(page.locator("main .note")).to_contain_text("The first 300 images are being collected")
    expect(page.locator("circle.alarm")).to_have_count(0)
