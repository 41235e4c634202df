"""What is known of the patient, filled in on the page of a study; the joint answer beside that of the image."""

from collections.abc import Callable
from typing import Any

from playwright.sync_api import expect

from support.bundles import grey
from support.drawing import png
from support.pages import PHONE, faults


def test_values_are_filled_in_corrected_and_taken_back(visit_as: Callable[..., Any], ward: Any) -> None:
    study = ward.upload(png(grey("normal", height=240, width=200)), "joint.png")
    page = visit_as("rhea", f"/studies/{study}")
    alone = page.locator(".bar.leads output").inner_text()
    page.get_by_text("Add them to classify image and values together").click()
    page.get_by_role("spinbutton", name="Age").fill("81")
    page.get_by_role("spinbutton", name="SpO2").fill("86")
    page.get_by_role("combobox", name="Fever").select_option("yes")
    assert not faults(page)
    page.get_by_role("button", name="Classify with values").click()
    joint = page.locator(".joint")
    expect(joint.locator(".moved li")).to_have_count(3)
    expect(joint).to_contain_text("Age 81 years")
    expect(page.locator(".bar.leads output")).to_have_text(alone)  # the image's own answer stays
    assert not faults(page)
    page.get_by_text("Change them").click()
    expect(page.get_by_role("spinbutton", name="SpO2")).to_have_value("86")
    for name in ("Age", "SpO2"):
        page.get_by_role("spinbutton", name=name).fill("")
    page.get_by_role("combobox", name="Fever").select_option("")
    page.get_by_role("button", name="Classify with values").click()
    expect(joint).to_have_count(0)


def test_a_value_out_of_range_is_not_even_sent_and_a_phone_shows_it_all(
    visit_as: Callable[..., Any], ward: Any
) -> None:
    study = ward.upload(png(grey("covid", height=240, width=200)), "joint.png")
    page = visit_as("rhea", f"/studies/{study}", viewport=PHONE, has_touch=True, is_mobile=True)
    page.get_by_text("Add them to classify image and values together").click()
    page.get_by_role("spinbutton", name="SpO2").fill("0.91")
    page.get_by_role("button", name="Classify with values").click()
    assert page.locator(".patient input:invalid").get_attribute("name") == "spo2"
    page.get_by_role("spinbutton", name="SpO2").fill("91")
    page.get_by_role("button", name="Classify with values").click()
    expect(page.locator(".joint .moved li")).to_have_count(1)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
