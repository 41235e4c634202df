"""How much of the lungs is opaque, roughly: drawn findings of known extent, windows, gammas, and where it is told."""

import json
from pathlib import Path

import numpy as np
import pypdfium2
import pytest

from covid_xray.images.phantoms.phantom import draw, draw_anatomy, lung_mask
from covid_xray.images.radiograph import Radiograph
from covid_xray.inference.io.results import as_dict
from covid_xray.inference.opacity import opacity_in_words, opaque_share
from covid_xray.inference.predictor import Predictor
from support.chests import chest
from support.commands import run
from support.drawing import png
from support.servers import client, upload
from support.studies import make_lung_bundle

PATIENTS = [draw_anatomy(np.random.default_rng(seed), child=False) for seed in range(4)]


def mask(height: int = 96, width: int = 96) -> np.ndarray:
    """Where `chest` draws lungs."""
    return chest(height=height, width=width, body=0, lung=1) > 0


def filled(share: float, *, size: int = 96) -> np.ndarray:
    """A chest whose lungs are as bright as what is between them from the base up, over `share` of their height."""
    pixels = chest(height=size, width=size)
    rows = np.flatnonzero(mask(size, size).any(axis=1))
    pixels[rows[round((1 - share) * len(rows)) :]] = 180
    return pixels


def with_fluid(patient: int, share: float) -> tuple[np.ndarray, np.ndarray]:
    """A phantom with the lowest `share` of its lungs as bright as its heart, soft at the upper edge; and its lungs."""
    pixels, lungs = draw(PATIENTS[patient]).pixels.astype(float), lung_mask(PATIENTS[patient])
    rows = np.arange(len(pixels))[:, None]
    level = np.quantile(np.nonzero(lungs)[0], 1 - share)
    heart = np.median(pixels[200:330, 250:280])
    cover = lungs / (1 + np.exp((level - rows) / 4))
    return np.rint(np.clip(pixels + cover * (heart - pixels), 0, 255)).astype(np.uint8), lungs


def small(lungs: np.ndarray) -> np.ndarray:
    return lungs.reshape(96, -1, 96, lungs.shape[1] // 96).mean(axis=(1, 3)) > 0.5


def share_of(pixels: np.ndarray, lungs: np.ndarray) -> float:
    share = opaque_share(pixels[:480, :480], small(lungs[:480, :480]))
    assert share is not None
    return share


@pytest.mark.parametrize("extent", [0.0, 0.25, 0.5, 0.75])
def test_a_known_extent_is_told(extent: float) -> None:
    # The rim of the mask does not count: six of 58 rows.
    assert opaque_share(filled(extent), mask()) == pytest.approx(extent, abs=0.06)


@pytest.mark.parametrize("patient", range(len(PATIENTS)))
def test_more_opacity_in_a_phantom_is_more(patient: int) -> None:
    shares = [share_of(*with_fluid(patient, extent)) for extent in (0, 0.2, 0.4, 0.6, 0.8)]
    assert shares == sorted(shares)
    assert shares[0] < 0.15
    assert shares[-1] > 0.6
    assert np.diff(shares).min() > 0.05


def test_more_of_the_disease_that_phantoms_draw_is_more() -> None:
    means = []
    for severity in (0.0, 0.4, 0.7, 1.0):
        drawn = [draw(who, finding="covid", severity=severity).pixels for who in PATIENTS]
        means.append(np.mean([share_of(one, lung_mask(who)) for one, who in zip(drawn, PATIENTS, strict=True)]))
    assert means == sorted(means)
    assert means[-1] > means[0] + 0.05


def test_a_window_changes_nothing_and_gamma_little() -> None:
    pixels, lungs = with_fluid(0, 0.4)
    told = share_of(pixels, lungs)
    for slope, offset in ((0.5, 60), (0.8, 0), (0.6, 100)):
        assert share_of(np.rint(slope * pixels + offset).astype(np.uint8), lungs) == pytest.approx(told, abs=0.03)
    for gamma in (0.7, 1.4):
        bent = np.rint(255 * (pixels / 255) ** gamma).astype(np.uint8)
        assert share_of(bent, lungs) == pytest.approx(told, abs=0.12)


def test_without_a_scale_nothing_is_said() -> None:
    assert opaque_share(np.full((96, 96), 90, np.uint8), mask()) is None, "nothing between the lungs is brighter"
    assert opaque_share(255 - chest(height=96, width=96), mask()) is None, "an inverted picture"
    assert opaque_share(chest(height=96, width=96), np.zeros((96, 96), bool)) is None
    one_side = mask()
    one_side[:, 48:] = False
    assert opaque_share(chest(height=96, width=96), one_side) is None, "nothing lies between one lung"
    thin = np.zeros((96, 96), bool)
    thin[20:70, 30:33] = thin[20:70, 60:63] = True
    assert opaque_share(chest(height=96, width=96), thin) is None, "all rim"


def test_words_are_coarse_and_say_what_they_are() -> None:
    assert opacity_in_words(None) == ""
    assert opacity_in_words(0.01).startswith("under 5% of the lungs")
    assert opacity_in_words(0.137).startswith("about 15% of the lungs")
    assert opacity_in_words(1.0).startswith("about 100%")
    for share in (0.0, 0.5):
        assert "rough indicator" in opacity_in_words(share)
        assert "no measurement" in opacity_in_words(share)


def test_the_answer_tells_it_where_lungs_were_found(tmp_path: Path) -> None:
    predictor = Predictor(make_lung_bundle(tmp_path / "bundle"), threads=1)
    clear = predictor.predict(Radiograph(chest(height=192, width=192)))
    told = as_dict(clear, identity=clear.model)["lungs"]
    assert told["opaque_roughly"] == 0
    assert told["plausible"] is True
    lost = predictor.predict(Radiograph(np.full((60, 60), 250, np.uint8)))
    assert as_dict(lost, identity=lost.model)["lungs"]["opaque_roughly"] is None


def test_the_command_the_page_and_the_report_tell_it(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    bundle = make_lung_bundle(tmp_path / "bundle")
    picture = tmp_path / "chest.png"
    hazy = chest(height=192, width=192, lung=30)
    hazy[120:154, 29:81] = 95  # that network calls lung what is darker than 100
    hazy[120:154, 111:163] = 95
    hazy[:, 84:108] = 110
    picture.write_bytes(png(hazy))
    answered = run(capfdbinary, "predict", picture, "--bundle", bundle, "--json")
    share = json.loads(answered.out)["lungs"]["opaque_roughly"]
    assert 0.15 < share < 0.4
    words = opacity_in_words(share)
    with client(tmp_path) as api:
        study = upload(api, picture.read_bytes())
        assert study["lungs"]["opaque_roughly"] == share
        page = api.get(f"/studies/{study['id']}").text.replace("About", "about").replace("\xa0", " ")
        assert words.replace("%", " %") in page
        report = api.get(f"/api/v1/studies/{study['id']}/report.pdf").content
    text = pypdfium2.PdfDocument(report)[0].get_textpage().get_text_range()
    assert "rough indicator" in text.replace("\r\n", " ")
