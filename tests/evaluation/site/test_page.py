"""The page to sign: the verdict first, in HTML, PDF and JSON alike."""

import re
from pathlib import Path

import pypdfium2
import pytest

from covid_xray.evaluation.site.commission import commission
from covid_xray.evaluation.site.images import read_images
from covid_xray.evaluation.site.page import write_site_folder
from covid_xray.inference.predictor import Predictor
from covid_xray.inference.site.site_file import read_site
from support.bundles import grey, make_bundle
from support.drawing import png


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A bundle and the images of a hospital, one of them with a wrong label and a hostile name."""
    folder = tmp_path_factory.mktemp("hospital")
    for label in ("normal", "covid"):
        for number in range(40):
            path = folder / "data" / label / f"{number:03}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(png(grey(label, seed=number)))
    (folder / "data" / "normal" / "<script>.png").write_bytes(png(grey("covid", seed=99)))
    return make_bundle(folder / "bundle"), folder / "data"


def written(hospital, folder: Path, **options):
    predictor = Predictor(hospital[0])
    manifest = read_images(hospital[1])
    previous = read_site(folder) if (folder / "site.json").exists() else None
    found = commission(predictor, manifest, name="St. <b>", previous=previous)
    return found, write_site_folder(found, predictor, folder, signed_by=options.get("signed_by"))


def words(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


def test_page_and_document_say_the_same_and_have_a_place_to_sign(hospital, tmp_path):
    _, site = written(hospital, tmp_path, signed_by="A. Physicist")
    page = (tmp_path / "report.html").read_text()
    first = pypdfium2.PdfDocument(tmp_path / "report.pdf")[0].get_textpage().get_text_bounded()
    for text in (words(page), first):
        assert "Acceptance test" in text
        assert "Healthy called ill" in text
        assert "A. Physicist" in text
        assert site.sha256 in re.sub(r"\s", "", text)
        assert site.facts["expires"] in text
    assert "<script>" not in page
    assert "&lt;script&gt;.png" in page, "a confident disagreement is listed for a human look"
    assert read_site(tmp_path).sha256 == site.sha256


def test_a_second_check_is_compared_with_the_first(hospital, tmp_path):
    written(hospital, tmp_path)
    assert "The check before" not in (tmp_path / "report.html").read_text()
    written(hospital, tmp_path)
    text = words((tmp_path / "report.html").read_text())
    assert "The check before" in text
    assert "The bundle is the same." in text
