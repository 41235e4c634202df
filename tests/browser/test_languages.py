"""Pages and reports in five further languages: chosen by browser or reader, whole, and marked as unreviewed."""

import io
import re
from collections.abc import Callable
from typing import Any

import pypdfium2
import pytest
from playwright.sync_api import expect

from covid_xray.serving.views.languages import LANGUAGES
from support.pages import PHONE, faults
from support.servers import Process

SAID = {
    "de": ("Röntgenaufnahmen des Thorax klassifizieren", "Virale Pneumonie", "nicht ärztlich geprüft", "77,8 %"),
    "es": ("Clasificar radiografías de tórax", "Neumonía vírica", "no ha sido revisada", "77,8 %"),
    "fr": ("Classer des radiographies thoraciques", "Pneumonie virale", "n’a pas été relue", "77,8 %"),
    "ar": ("تصنيف صور الصدر الشعاعية", "التهاب رئوي فيروسي", "لم يراجع طبيب", "77.8 %"),
    "zh": ("对胸部 X 线片分类", "病毒性肺炎", "未经临床医生审核", "77.8 %"),
}


@pytest.fixture
def virus(server: Process) -> str:
    with server.client() as http:
        [found] = http.get("/api/v1/studies?q=virus-1.png").json()["studies"]
        return f"/studies/{found['id']}"


@pytest.mark.parametrize("code", SAID)
def test_a_browser_gets_its_language(visit: Callable[..., Any], virus: str, code: str) -> None:
    title, name, unreviewed, share = SAID[code]
    page = visit("/", locale=code)
    html = page.locator("html")
    expect(html).to_have_attribute("lang", code)
    expect(html).to_have_attribute("dir", LANGUAGES[code].direction)
    expect(page.get_by_role("heading", level=1)).to_have_text(title)
    expect(page.locator(".unreviewed")).to_contain_text(unreviewed)
    page.goto(virus)
    expect(page.locator(".answer h2")).to_have_text(name)
    expect(page.locator(".bar.leads output")).to_have_text(share)
    assert not faults(page)
    page.goto(f"{virus}/report")
    expect(page.locator(".answer h2")).to_have_text(name)


@pytest.mark.parametrize("code", ["de", "ar"])
def test_nothing_is_wider_than_a_phone_in_long_or_reversed_words(
    visit: Callable[..., Any], virus: str, code: str
) -> None:
    page = visit("/", locale=code, viewport=PHONE, has_touch=True, is_mobile=True)
    wide = []
    for path in ("/", "/worklist", virus, f"{virus}/report", "/model", "/monitor"):
        page.goto(path)
        width = page.evaluate("document.documentElement.scrollWidth")
        wide += [f"{path}: {width}"] if width > PHONE["width"] else []
    assert not wide


def test_a_reader_chooses_and_the_choice_stays(visit: Callable[..., Any]) -> None:
    page = visit("/worklist?sort=name")
    page.locator("#language").select_option("fr")
    expect(page.locator("html")).to_have_attribute("lang", "fr")
    expect(page).to_have_url(re.compile(r"/worklist\?sort=name$"))
    page.goto("/model")
    expect(page.locator("html")).to_have_attribute("lang", "fr")
    page.locator("#language").select_option("en")
    expect(page.locator(".unreviewed")).to_have_count(0)


@pytest.mark.parametrize("code", SAID)
def test_the_report_is_in_that_language_too(server: Process, virus: str, code: str) -> None:
    with server.client(headers={"Accept-Language": code}) as http:
        data = http.get(f"/api/v1{virus}/report.pdf").content
    document = pypdfium2.PdfDocument(io.BytesIO(data))
    text = "".join(page.get_textpage().get_text_range() for page in document)
    assert SAID[code][3].split()[0] in text
    assert "\ufffd" not in text
    if code != "ar":  # whose letters are in the order of drawing, and joined
        assert SAID[code][1] in text
        assert SAID[code][2] in text.replace("\r\n", " ")
