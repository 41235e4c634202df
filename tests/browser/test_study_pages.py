"""The page of one study: what it says, and what slider, mouse, keys and buttons do to the picture."""

import re
from collections.abc import Callable
from typing import Any

import pypdfium2
import pytest
from playwright.sync_api import Page, expect

from support.bundles import grey
from support.drawing import png
from support.pages import PHONE
from support.servers import Process, upload
from support.studies import film

FILM, LAYER = ".pane.mapped .film", ".pane.mapped .layer"


def slope(page: Page) -> float:
    return float(page.locator("#window feFuncG").get_attribute("slope") or "nan")


def transform(page: Page) -> str:
    return str(page.locator(".pane.mapped .sheet").evaluate("sheet => sheet.style.transform"))


def drag(page: Page, dx: int, dy: int, *, button: str = "left") -> None:
    box = page.locator("#frame").bounding_box()
    assert box
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down(button=button)
    page.mouse.move(x + dx, y + dy, steps=4)
    page.mouse.up(button=button)


def test_it_says_what_the_network_says(visit: Callable[..., Any], server: Process, study: str) -> None:
    with server.client() as http:
        found = http.get(f"/api/v1{study}").json()
    page = visit(study)
    expect(page.locator(".answer h2")).to_have_text("COVID-19")
    covid = page.locator(".bar").filter(has_text="COVID-19")
    expect(covid.locator("output")).to_have_text(f"{100 * found['probabilities']['covid']:.1f} %")
    expect(covid.locator(".marks li")).to_have_text(
        [
            "Rule-out threshold 10.0 % not ruled out",
            "Balanced threshold 50.0 % above",
            "Rule-in threshold 80.0 % ruled in",
        ]
    )
    expect(page.locator(".decision")).to_have_text("COVID-19 is ruled in; no other answer is in the prediction set.")
    expect(page.locator(".panel .scope")).to_contain_text("Other diseases get one of them.")
    expect(page.locator(".panel .site")).to_have_text("Not checked at this hospital.")
    expect(page.locator(".set b")).to_have_text(["COVID-19"])
    expect(page.locator(".warnings")).to_contain_text("This network does not check its input")
    expect(page.locator(".research")).to_contain_text("Research use, not for diagnosis.")
    page.mouse.wheel(0, 4000)
    expect(page.locator(".research")).to_be_in_viewport()
    about = page.locator("section", has=page.get_by_role("heading", name="File and network"))
    expect(about).to_contain_text(found["model"]["sha256"])


def test_an_adult_called_virus_is_warned_of(visit: Callable[..., Any]) -> None:
    page = visit("/worklist")
    page.get_by_role("link", name="virus-1.png", exact=True).click()
    expect(page.locator(".warnings")).to_contain_text(
        "Nearly all viral images of the training data are of small children"
    )


def test_slider_switch_and_legend_of_the_heat_map(visit: Callable[..., Any], study: str) -> None:
    page = visit(study)
    layer = page.locator(LAYER)
    expect(layer).to_be_hidden()  # until it is asked for
    assert not layer.get_attribute("src")
    page.get_by_role("checkbox", name="Heat map").check()
    expect(layer).to_be_visible()
    expect(layer).to_have_css("opacity", "0.6")
    page.get_by_label("Opacity").fill("25")
    expect(layer).to_have_css("opacity", "0.25")
    page.reload()
    expect(layer).to_be_visible()  # as this reader likes it
    page.get_by_role("checkbox", name="Heat map").uncheck()
    expect(layer).to_be_hidden()
    with page.expect_response(lambda answer: "heatmap.png?class=normal" in answer.url) as answer:
        page.get_by_role("radio", name="Normal").click()
    assert answer.value.ok
    expect(page.locator("#empty")).to_have_text("No area raised the score of Normal: its map is empty.")


def test_dragging_windows_the_picture(visit: Callable[..., Any], study: str) -> None:
    page = visit(study)
    assert slope(page) == 1
    drag(page, -150, 0)
    width = float(page.get_by_label("Width").input_value())
    assert width == pytest.approx(50)
    assert slope(page) == pytest.approx(100 / width, abs=0.01)
    expect(page.locator(FILM)).to_have_css("filter", 'url("#window")')
    drag(page, 0, 60)
    assert page.get_by_label("Level").input_value() == "60"
    page.get_by_role("button", name="Invert").click()
    assert slope(page) == pytest.approx(-100 / width, abs=0.01)
    page.get_by_role("button", name="Reset").click()
    assert slope(page) == 1
    expect(page.get_by_role("button", name="Invert")).to_have_attribute("aria-pressed", "false")


def test_the_wheel_zooms_and_the_right_button_moves(visit: Callable[..., Any], study: str) -> None:
    page = visit(study)
    drag(page, 40, 0, button="right")
    assert "translate(0px, 0px) scale(1)" in transform(page)  # nothing to move before it is enlarged
    page.mouse.wheel(0, -300)
    expect(page.locator("#zoom")).not_to_have_text("100 %")
    before = transform(page)
    drag(page, 40, 20, button="right")
    assert transform(page) != before
    page.get_by_label("Zoom in").click()
    page.get_by_role("radio", name="Move").click()
    before, window = transform(page), slope(page)
    drag(page, -30, -10)
    assert (transform(page) != before, slope(page)) == (True, window)


def test_all_of_it_from_the_keyboard(visit: Callable[..., Any], study: str) -> None:
    page = visit(study)
    page.keyboard.press("h")
    expect(page.locator(LAYER)).to_be_visible()
    page.keyboard.press("s")
    expect(page.locator(".pane.plain")).to_be_visible()
    page.keyboard.press("i")
    page.keyboard.press("Shift+W")
    assert slope(page) == pytest.approx(-100 / 96, abs=0.01)
    page.keyboard.press("+")
    expect(page.locator("#zoom")).to_have_text("125 %")
    page.keyboard.press("?")
    expect(page.locator("#keys")).to_be_visible()
    expect(page.locator("#keys")).to_be_in_viewport()
    page.get_by_label("Use these keys").uncheck()
    page.get_by_role("button", name="Close").click()
    page.keyboard.press("0")
    expect(page.locator("#zoom")).to_have_text("125 %")
    page.get_by_label("Note").fill("h i s")
    expect(page.locator(".pane.plain")).to_be_visible()


def test_sixteen_bits_are_windowed_by_the_server(visit: Callable[..., Any], deep_study: str) -> None:
    page = visit(deep_study)
    with page.expect_response(lambda answer: "&low=" in answer.url) as answer:
        page.get_by_label("Width").fill("10")
    assert answer.value.ok
    expect(page.locator(FILM)).to_have_css("filter", "none")  # the picture has that window now
    assert "low=0.4500&high=0.5500" in str(page.locator(FILM).get_attribute("src"))


def test_zooming_in_asks_for_every_pixel(visit: Callable[..., Any], large_study: str) -> None:
    page = visit(large_study)
    assert page.locator(FILM).evaluate("film => film.decode().then(() => film.naturalHeight)") == 896
    with page.expect_response(lambda answer: "image.png?size=1300" in answer.url) as answer:
        page.get_by_label("Zoom in").click()
    assert answer.value.ok
    expect(page.locator("#readout")).to_contain_text("every pixel")
    # Waited for: `decode` fails where the picture is exchanged meanwhile.
    expect(page.locator(FILM)).to_have_js_property("naturalHeight", 1300)


def test_the_automatic_window_spans_the_greys_of_the_picture(visit: Callable[..., Any], study: str) -> None:
    page = visit(study)
    page.locator(FILM).evaluate("film => film.decode()")
    page.get_by_role("button", name="Auto-window").click()
    assert float(page.get_by_label("Width").input_value()) < 100
    assert slope(page) > 1


def test_distances_are_in_mm_where_the_file_states_its_pixels(
    visit: Callable[..., Any], dicom_studies: list[str]
) -> None:
    page = visit(dicom_studies[0])
    page.get_by_role("radio", name="Measure").click()
    drag(page, 0, 100)
    height = page.locator(".pane.mapped").evaluate("pane => pane.clientHeight")
    width = page.locator(".pane.mapped").evaluate("pane => pane.clientWidth")
    pixels = 100 / min(height / 240, width / 200)
    expect(page.locator("#measured")).to_contain_text(f"{0.5 * pixels:.1f} mm")


def test_distances_are_in_pixels_where_it_does_not(visit: Callable[..., Any], study: str) -> None:
    page = visit(study)
    page.keyboard.press("d")
    page.keyboard.press("d")
    drag(page, 60, 0)
    expect(page.locator("#measured")).to_contain_text("pixels. The file does not state their size in mm.")


def test_two_films_of_a_patient_beside_each_other(visit: Callable[..., Any], dicom_studies: list[str]) -> None:
    page = visit(dicom_studies[1])
    page.get_by_role("link", name="Compare").first.click()
    expect(page.locator(".pane.plain .which")).to_contain_text("prior.dcm")
    expect(page.locator(".panel.rest")).to_contain_text("The same patient, by the number in the DICOM files.")
    expect(page.locator(".pane.plain .film")).to_be_visible()
    drag(page, -150, 0)
    for picture in page.locator(".film").all():
        expect(picture).to_have_css("filter", 'url("#window")')


def test_each_of_two_films_is_measured_in_its_own_pixels(visit: Callable[..., Any], server: Process) -> None:
    with server.client() as http:
        picture = grey("covid", height=240, width=200, seed=904)
        coarse, fine = (
            upload(http, film(picture, number=904 + number, ImagerPixelSpacing=[size, size]), f"{size}.dcm")["id"]
            for number, size in enumerate((0.5, 0.25))
        )
    page = visit(f"/studies/{coarse}?beside={fine}")
    page.get_by_role("radio", name="Measure").click()
    found = []
    for which in ("plain", "mapped"):
        area = page.locator(f".pane.{which} .area")
        box = area.bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x, y + 60, steps=2)
        page.mouse.up()
        expect(area.locator(".measure line")).not_to_have_attribute("y2", "0")
        found.append(float(re.search(r"[\d.]+", page.locator("#measured").inner_text())[0]))
    assert found[1] == pytest.approx(2 * found[0], rel=0.02)
    which, frame = page.locator(".which").first.bounding_box(), page.locator(".pane.plain .area").bounding_box()
    assert which["y"] + which["height"] <= frame["y"] + 1  # no side marker is covered


def test_the_same_file_is_known_again(visit: Callable[..., Any], server: Process) -> None:
    with server.client() as http:
        picture = png(grey("normal", seed=4242))
        first, second = (upload(http, picture, name)["id"] for name in ("first.png", "second.png"))
    page = visit(f"/studies/{second}")
    related = page.locator("[data-related=same]")
    expect(related).to_contain_text("first.png")
    expect(related.get_by_role("link", name="first.png", exact=True)).to_have_attribute("href", f"/studies/{first}")


def test_cannot_say_shows_no_class_number_or_map_until_asked(visit: Callable[..., Any], close_study: str) -> None:
    page = visit("/")
    page.evaluate("localStorage.setItem('heatmap', 'on')")
    page.goto(close_study)
    expect(page.locator(".answer h2")).to_have_text("Cannot say: close call")
    expect(page.locator(".answer")).to_contain_text("Read this radiograph as if the network had said nothing.")
    assert "%" not in page.locator(".panel.first").inner_text() + page.locator(".panel.rest").inner_text()
    expect(page.locator(LAYER)).to_be_hidden()
    assert page.locator(".panel b:visible").count() == 0
    page.get_by_text("Show the raw numbers of the network").click()
    expect(page.locator(".raw .bar").first).to_contain_text("%")
    page.goto(f"{close_study}/report")
    expect(page.locator("figure img")).to_have_count(1)
    assert "%" not in page.locator(".said-first").inner_text() + page.locator(".columns").inner_text()


def test_on_a_phone_the_answer_comes_first_and_a_swipe_scrolls(visit: Callable[..., Any], study: str) -> None:
    page = visit(study, viewport=PHONE, has_touch=True, is_mobile=True)
    answer, frame = page.locator(".answer").bounding_box(), page.locator("#frame").bounding_box()
    assert answer["y"] + answer["height"] <= frame["y"]
    expect(page.locator("#frame")).to_have_css("touch-action", "pan-x pan-y")
    page.get_by_label("Zoom in").click()
    expect(page.locator("#frame")).to_have_css("touch-action", "none")
    stamp = page.locator(".stamp").bounding_box()
    assert stamp["y"] + stamp["height"] <= page.locator("#frame").bounding_box()["y"]  # no side marker is covered
    page.get_by_role("button", name="Keys").click()
    expect(page.locator("#keys")).to_be_in_viewport()


def test_a_draft_survives_a_session_that_ends(visit: Callable[..., Any], study: str) -> None:
    page = visit(study)
    feedback = page.locator("#feedback")
    feedback.get_by_label("Disagree").check()
    feedback.get_by_label("Note").fill("a rib, not an opacity")
    page.route("**/feedback", lambda route: route.fulfill(status=401, body=""))
    feedback.get_by_role("button", name="Save").click()
    link = page.locator("#notice a")
    expect(link).to_have_attribute("href", re.compile(r"/login\?next=%2Fstudies%2F[0-9a-f]{32}$"))
    page.unroute("**/feedback")
    page.reload()
    expect(feedback.get_by_label("Note")).to_have_value("a rib, not an opacity")
    expect(feedback.get_by_label("Disagree")).to_be_checked()
    feedback.get_by_role("button", name="Save").click()
    expect(page.locator(".said li")).to_have_count(1)
    page.reload()
    expect(feedback.get_by_label("Note")).to_have_value("")


def test_agree_disagree_correct(visit: Callable[..., Any], study: str) -> None:
    page = visit(study)
    feedback = page.locator("#feedback")
    expect(feedback.get_by_label("Right answer").locator("option").last).to_have_text("Other finding, or none of these")
    feedback.get_by_label("Right answer").select_option("normal")
    expect(feedback.get_by_label("Correct it to")).to_be_checked()
    feedback.get_by_label("Note").fill("old scar <b>known</b>")
    feedback.get_by_role("button", name="Save").click()
    said = page.locator(".said li")
    expect(said).to_have_count(1)
    expect(said).to_contain_text("local corrects it to Normal")
    expect(said).to_contain_text("old scar <b>known</b>")
    expect(said).to_contain_text("network small 1")
    page.reload()
    expect(said).to_have_count(1)
    feedback.get_by_label("Disagree").check()
    feedback.get_by_role("button", name="Save").click()
    expect(said).to_have_count(2)


def test_report_on_paper_and_as_pdf(visit: Callable[..., Any], study: str) -> None:
    page = visit(study)
    page.get_by_role("link", name="Print report").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Chest radiograph: report of a neural network")
    expect(page.locator("figure img")).to_have_count(2)
    link = page.get_by_role("link", name="PDF").get_attribute("href")
    page.emulate_media(media="print")
    expect(page.locator(".head")).to_be_hidden()
    expect(page.locator(".foot")).to_contain_text("Research use, not for diagnosis.")
    pdf = page.request.get(link)
    assert pdf.ok, pdf.text()
    assert pdf.body().startswith(b"%PDF-")


def test_every_printed_page_has_the_disclaimer(visit: Callable[..., Any], study: str) -> None:
    printed = pypdfium2.PdfDocument(visit(f"{study}/report").pdf(format="A5"))
    assert len(printed) > 1
    for number, page in enumerate(printed):
        assert "Research use, not for diagnosis." in page.get_textpage().get_text_range(), number
    assert "Not checked at this hospital." in printed[0].get_textpage().get_text_range()
