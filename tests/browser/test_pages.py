"""Files into the start page, as a person would drop or choose them."""

import io
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, expect

from covid_xray.limits import Limits
from support.bundles import grey
from support.drawing import dicom, jpeg, picture, png


def chosen(*files: tuple[str, bytes]) -> list[dict[str, Any]]:
    return [{"name": name, "mimeType": "application/octet-stream", "buffer": data} for name, data in files]


def drop(page: Page, name: str, data: bytes = b"", *, size: int | None = None) -> None:
    """Drop a file somewhere on the page; with `size`, one of so many zeros."""
    page.evaluate(
        """([name, bytes, size]) => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([size ? new Uint8Array(size) : new Uint8Array(bytes)], name));
            const options = { dataTransfer: transfer, bubbles: true, cancelable: true };
            document.body.dispatchEvent(new DragEvent("drop", options));
        }""",
        [name, list(data), size],
    )


def test_results_come_one_by_one_with_an_answer_or_advice(visit: Callable[..., Any]) -> None:
    page = visit("/")
    files = [
        ("bright.png", png(grey("covid"))),
        ("dark.jpg", jpeg(grey("normal"))),
        ("chest.dcm", dicom(picture(bits=12), ViewPosition="PA")),
        ("letter.pdf", b"%PDF-1.7"),
        ("empty.png", b""),
    ]
    page.set_input_files("#files", chosen(*files))
    expect(page.locator("#count")).to_have_text("5 of 5 done, 2 refused")
    results = page.locator("#results > li")
    expect(results.filter(has_text="bright.png").locator("strong")).to_have_text("COVID-19")
    expect(results.filter(has_text="dark.jpg").locator("strong")).to_have_text("Normal")
    expect(results.filter(has_text="letter.pdf")).to_contain_text("This is no image file.")
    expect(results.filter(has_text="letter.pdf")).to_contain_text("Export it again as PNG, JPEG or DICOM.")
    expect(results.filter(has_text="empty.png")).to_contain_text("The file is empty.")
    results.filter(has_text="chest.dcm").get_by_role("link", name="chest.dcm").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("chest.dcm")
    expect(page.locator(".panel.rest")).to_contain_text("12 bits")


def test_an_archive_becomes_a_batch(visit: Callable[..., Any]) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, data in (("one.png", png(grey("covid"))), ("two.png", png(grey("virus"))), ("three.png", b"")):
            archive.writestr(name, data)
    page = visit("/")
    page.set_input_files("#files", chosen(("scans.zip", stream.getvalue())))
    batch = page.locator(".batch")
    expect(batch).to_contain_text("3 of 3 done; the batch is finished, 1 refused.")
    expect(batch.locator("li").filter(has_text="two.png")).to_contain_text("Viral pneumonia")
    expect(batch.locator("li").filter(has_text="three.png")).to_contain_text("The file is empty.")
    assert not batch.get_attribute("hx-get")  # it asks no more


def test_a_file_above_the_limit_is_not_even_sent(visit: Callable[..., Any]) -> None:
    page = visit("/")
    sent = []
    page.on("request", lambda request: sent.append(request.url) if request.method == "POST" else None)
    drop(page, "large.png", size=Limits().upload_bytes + 1)
    expect(page.locator("#results")).to_contain_text("The file is too large.")
    assert not sent


def test_dropping_anywhere_is_dropping_here(visit: Callable[..., Any]) -> None:
    page = visit("/")
    drop(page, "dropped.png", png(grey("normal")))
    expect(page.locator("#results").get_by_role("link", name="dropped.png")).to_be_visible()


def test_nothing_comes_from_elsewhere(visit: Callable[..., Any], study: str) -> None:
    page = visit("/")
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    for path in ("/", study, "/worklist", "/model", f"{study}/report"):
        page.goto(path, wait_until="networkidle")
    own = page.url.split("/studies")[0]
    assert len(asked) > 20
    assert all(url.startswith((own, "blob:")) for url in asked)


def test_a_row_that_cannot_be_drawn_is_stored_all_the_same(visit: Callable[..., Any]) -> None:
    page = visit("/")
    page.route("**/row", lambda route: route.fulfill(status=404, body=""))
    page.set_input_files("#files", chosen(("kept.png", png(grey("covid")))))
    row = page.locator("#results > li")
    expect(row).to_contain_text("The answer is stored, but cannot be shown here now. Open it.")
    expect(page.locator("#count")).to_have_text("1 of 1 done")
    page.unroute("**/row")
    row.get_by_role("link", name="kept.png").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("kept.png")


def test_a_file_that_failed_is_sent_again_by_its_button(visit: Callable[..., Any]) -> None:
    page = visit("/")
    page.route("**/api/v1/predict", lambda route: route.abort())
    page.set_input_files("#files", chosen(("later.png", png(grey("covid")))))
    row = page.locator("#results > li")
    expect(row).to_contain_text("The server does not answer.")
    page.unroute("**/api/v1/predict")
    row.get_by_role("button", name="Try again").click()
    expect(row.locator("strong")).to_have_text("COVID-19")
    expect(page.locator("#count")).to_have_text("1 of 1 done")


def test_a_file_that_will_never_do_has_no_such_button(visit: Callable[..., Any]) -> None:
    page = visit("/")
    page.set_input_files("#files", chosen(("letter.pdf", b"%PDF-1.7 again")))
    expect(page.locator("#results > li")).to_contain_text("This is no image file.")
    expect(page.get_by_role("button", name="Try again")).to_have_count(0)


def test_a_screen_reader_hears_the_answer(visit: Callable[..., Any]) -> None:
    page = visit("/")
    page.set_input_files("#files", chosen(("heard.png", png(grey("normal")))))
    expect(page.locator("#said[role=status]")).to_have_text("heard.png: Normal")


def test_a_file_that_was_sent_before_is_recognised(visit: Callable[..., Any]) -> None:
    page = visit("/")
    for name in ("once.png", "twice.png"):
        page.set_input_files("#files", chosen((name, png(grey("covid", seed=321)))))
        expect(page.locator("#results").get_by_role("link", name=name)).to_be_visible()
    row = page.locator("#results > li").filter(has_text="twice.png")
    expect(row).to_contain_text("The same file was sent before.")
    row.get_by_role("link", name="Compare once.png").click()
    expect(page.locator(".which")).to_have_count(2)


def test_results_are_there_again_after_going_back(visit: Callable[..., Any]) -> None:
    page = visit("/", viewport={"width": 800, "height": 300})
    page.set_input_files("#files", chosen(("back.png", png(grey("normal")))))
    link = page.locator("#results").get_by_role("link", name="back.png")
    expect(link).to_be_visible()
    link.evaluate("link => { scrollTo({ top: 222, behavior: 'instant' }); link.click(); }")
    expect(page.get_by_role("heading", level=1)).to_have_text("back.png")
    page.go_back()
    expect(link).to_be_visible()
    page.wait_for_function("scrollY === 222")


def test_a_dropped_folder_is_walked(visit: Callable[..., Any]) -> None:
    """Playwright drops no folders; entries as a browser gives them stand for one."""
    page = visit("/")
    page.evaluate(
        """(bytes) => {
            const file = (name) => ({ isFile: true, name, fullPath: `/cd/${name}`,
                file: (done) => done(new File([new Uint8Array(bytes)], name)) });
            let once = [file("one.png"), file(".hidden"), file("DICOMDIR")];
            const folder = { isDirectory: true, name: "cd", createReader: () => ({
                readEntries: (done) => { done(once); once = []; } }) };
            const event = new Event("drop", { bubbles: true, cancelable: true });
            event.dataTransfer = { items: [{ webkitGetAsEntry: () => folder }], files: [] };
            document.body.dispatchEvent(event);
        }""",
        list(png(grey("covid"))),
    )
    expect(page.locator("#results").get_by_role("link", name="cd/one.png", exact=True)).to_be_visible()
    expect(page.locator("#count")).to_have_text("1 of 1 done, 2 passed over")


def test_a_chosen_folder_is_walked_and_a_tar_archive_is_a_batch(visit: Callable[..., Any], tmp_path: Path) -> None:
    for name, data in (("series/one.png", png(grey("covid", seed=11))), ("DICOMDIR", b"-"), (".hidden/x.png", b"-")):
        (tmp_path / "cd" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "cd" / name).write_bytes(data)
    page = visit("/")
    page.set_input_files("#folder", str(tmp_path / "cd"))
    expect(page.locator("#results").get_by_role("link", name="cd/series/one.png")).to_be_visible()
    expect(page.locator("#count")).to_have_text("1 of 1 done, 2 passed over")
    (tmp_path / "two.png").write_bytes(png(grey("virus")))
    with tarfile.open(tmp_path / "scans.tgz", "w:gz") as archive:
        archive.add(tmp_path / "two.png", "two.png")
    page.set_input_files("#files", str(tmp_path / "scans.tgz"))
    expect(page.locator(".batch")).to_contain_text("1 of 1 done; the batch is finished.")
    expect(page.locator(".batch li").filter(has_text="two.png")).to_contain_text("Viral pneumonia")


def test_without_scripts_the_pages_are_understood(visit: Callable[..., Any], study: str, close_study: str) -> None:
    page = visit("/", java_script_enabled=False)
    expect(page.get_by_text("Uploading here needs JavaScript")).to_be_visible()
    page.goto(study)
    expect(page.locator(".answer h2")).to_have_text("COVID-19")
    expect(page.get_by_text("need JavaScript")).to_be_visible()
    expect(page.get_by_role("button", name="Invert")).to_be_hidden()
    page.get_by_label("Agree", exact=True).check()
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".said li")).to_have_count(1)
    page.goto(close_study)
    page.get_by_text("Show the raw numbers of the network").click()
    expect(page.locator(".raw .bar").first).to_be_visible()
    page.goto("/worklist?sort=name")
    page.get_by_label("Search").fill("covid-1")
    page.get_by_role("button", name="Show").click()
    expect(page.locator(".studies .file a")).to_have_text(["covid-1.png"])
