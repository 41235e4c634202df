"""What is said of the lungs of one image: found or not, and how much of the heat map lies inside them."""

from pathlib import Path

import numpy as np
import pytest

from covid_xray.bundle.bundle import write_bundle
from covid_xray.images.radiograph import Radiograph
from covid_xray.inference.finding import LungFacts
from covid_xray.inference.io.results import as_dict
from covid_xray.inference.lung_facts import heat_inside, in_words
from covid_xray.inference.lungs import WHOLE, Lungs
from covid_xray.inference.predictor import Predictor
from covid_xray.inference.selftest import check, references
from covid_xray.inference.view import View
from support.bundles import facts, network
from support.chests import chest, lung_facts, lung_network


def bundle(folder: Path, *, crop: str = "lungs", **others: object) -> Path:
    about = facts(lungs=lung_facts(margin=0.2), **others)  # so wide that the small network says covid
    about["input"]["crop"] = crop
    write_bundle(folder, model=network(), facts=about, lungs=lung_network())
    return folder


@pytest.fixture(scope="module")
def cropping(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return Predictor(bundle(tmp_path_factory.mktemp("b") / "bundle"), threads=1)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return Predictor(bundle(tmp_path_factory.mktemp("b") / "bundle", crop="none"), threads=1)


def test_half_of_the_heat_in_the_lungs() -> None:
    mask = np.zeros((8, 8), dtype=bool)
    mask[:, :4] = True
    lungs = Lungs(mask.astype(np.float32), mask, (0, 0, 1, 0.5), plausible=True)
    even = np.ones((3, 4), np.float32)
    assert heat_inside(even, lungs) == pytest.approx(0.5)
    left = even * [1, 1, 0, 0]
    assert heat_inside(left.astype(np.float32), lungs) == pytest.approx(1.0)
    assert heat_inside(np.zeros((3, 4), np.float32), lungs) is None


def test_class_maps_lie_where_the_network_looked(cropping: Predictor) -> None:
    # The small network's map of covid is the picture itself: bright body, dark lungs.
    pixels = chest(height=160, width=120, body=255, lung=90)
    finding = cropping.predict(Radiograph(pixels), class_maps=True)
    assert finding.region != WHOLE
    covid = finding.class_maps[0]
    height, width = covid.shape
    top, left, bottom, right = (
        round(share * side) for share, side in zip(finding.region, (height, width) * 2, strict=True)
    )
    outside = np.ones_like(covid, dtype=bool)
    outside[max(0, top - 1) : bottom + 1, max(0, left - 1) : right + 1] = False
    assert covid[outside].max() == 0
    lung = covid[round(0.5 * height), round(0.28 * width)]
    spine = covid[round(0.5 * height), round(0.5 * width)]
    assert spine > 2 * lung > 0
    assert finding.lungs is not None
    assert finding.lungs.heat_inside < finding.lungs.area


def test_maps_of_the_whole_picture_stay_as_they_are(whole: Predictor) -> None:
    radiograph = Radiograph(chest(body=255, lung=90))
    finding = whole.predict(radiograph, class_maps=True)
    expected = whole.run(whole.read(radiograph)[None], class_maps=True)["class_maps"][0]
    np.testing.assert_array_equal(finding.class_maps, expected)
    assert finding.lungs is not None
    assert finding.lungs.plausible


def test_lungs_that_are_not_found_are_said_in_words(cropping: Predictor) -> None:
    finding = cropping.predict(Radiograph(np.full((60, 60), 250, np.uint8)))
    assert finding.region == WHOLE
    assert finding.reasons == ()
    assert finding.label == "covid"
    assert finding.remarks == ("lungs were not found",)
    told = as_dict(finding, identity=finding.model)["lungs"]
    assert told["plausible"] is False
    assert told["box"] is None
    assert told["words"] == finding.remarks[0]


def test_heat_is_told_without_giving_the_maps_away(cropping: Predictor) -> None:
    finding = cropping.predict(Radiograph(chest(body=255, lung=90)))
    assert finding.class_maps is None
    assert 0 < as_dict(finding, identity=finding.model)["lungs"]["heat_map_inside"] < 1


def test_reading_and_answering_apart_is_the_same(cropping: Predictor) -> None:
    radiographs = [Radiograph(chest(height=100 + 20 * n, body=255, lung=90)) for n in range(3)]
    views = [cropping.view(radiograph) for radiograph in radiographs]
    apart = cropping.answers(["a", "b", "c"], views, class_maps=True)
    together = list(cropping.predict_many(radiographs, class_maps=True))
    for one, other, view in zip(apart, together, views, strict=True):
        assert isinstance(view, View)
        assert one.region == other.region == view.region
        assert one.lungs == other.lungs
        np.testing.assert_array_equal(one.class_maps, other.class_maps)
    bare = cropping.answers(["a", "b", "c"], np.stack([view.pixels for view in views]))
    assert all(finding.region == WHOLE and finding.lungs is None for finding in bare)


def test_the_self_test_goes_through_the_crop(tmp_path: Path) -> None:
    stored = references(Predictor(bundle(tmp_path / "a"), threads=1))
    assert check(Predictor(bundle(tmp_path / "b", reference=stored), threads=1)).problems == ()
    problems = check(Predictor(bundle(tmp_path / "c", crop="none", reference=stored), threads=1)).problems
    assert any("pixels that reach the network" in problem for problem in problems)


def test_words_of_a_caption() -> None:
    assert in_words(None, cropped=False) == ""
    assert "not found" in in_words(LungFacts(plausible=False, words="lungs were not found"), cropped=False)
    said = in_words(LungFacts(plausible=True, area=0.3, heat_inside=0.81), cropped=True)
    assert "frame" in said
    assert "81%" in said
