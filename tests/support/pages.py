"""What the browser tests look for on every page."""

from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

import covid_xray

STATIC = Path(covid_xray.__file__).parent / "serving" / "web" / "static"
PHONE = {"width": 390, "height": 844}


def faults(page: Page) -> list[str]:
    """What axe-core calls moderate, serious or critical."""
    found = Axe().run(page).response["violations"]
    return [
        f"{page.url}: {fault['id']}: {fault['nodes'][0]['html'][:120]}"
        for fault in found
        if fault["impact"] in ("moderate", "serious", "critical")
    ]
