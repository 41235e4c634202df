"""The Secondary Capture: a point of the radiograph is where it should be, and looks as it should."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest

from covid_xray.inference import heatmap
from covid_xray.inference.predictor import Predictor
from covid_xray.pacs.results import capture
from covid_xray.pacs.results.result_objects import ResultBuilder
from support import studies
from support.bundles import make_bundle

HEIGHT, WIDTH = 1700, 1300
MARKER = (slice(400, 500), slice(1000, 1180))  # rows, columns; nothing about it is symmetric


def marked() -> np.ndarray:
    pixels = np.full((HEIGHT, WIDTH), 200, np.uint8)
    pixels[:, :40] = 150
    pixels[MARKER] = 255
    return pixels


@pytest.fixture(scope="module")
def builder(tmp_path_factory: pytest.TempPathFactory) -> ResultBuilder:
    return ResultBuilder(
        Predictor(make_bundle(tmp_path_factory.mktemp("b") / "bundle")), kinds=["sc", "seg"], share=0.95
    )


def opened(builder: ResultBuilder, data: bytes) -> dict[str, pydicom.Dataset]:
    return {kind: pydicom.dcmread(io.BytesIO(made)) for kind, made in builder.build(data).objects.items()}


def centre(mask: np.ndarray) -> np.ndarray:
    return np.argwhere(mask).mean(axis=0) + 0.5


WANTED = np.array([450.0, 1090.0])  # the middle of the marker


def test_a_marker_is_at_the_same_place_in_capture_and_region(builder: ResultBuilder) -> None:
    made = opened(builder, studies.film(marked()))
    capture = made["sc"].pixel_array
    longest = 1536
    scale = longest / HEIGHT
    # White under the brightest colour of the map; the rest is grey 200 under a darker one.
    bright = capture[: round(HEIGHT * scale), : round(WIDTH * scale), 1] > 232
    assert np.allclose(centre(bright) / scale, WANTED, atol=4)
    segment = made["seg"].pixel_array
    assert segment.shape == (HEIGHT, WIDTH)
    assert np.allclose(centre(segment > 0), WANTED, atol=36)  # half a cell


def test_the_radiograph_in_the_capture_is_the_radiograph(tmp_path: object, builder: ResultBuilder) -> None:
    dark = np.zeros((300, 200), np.uint8)
    dark[30:60, 120:180] = 90
    made = opened(builder, studies.film(dark))["sc"]
    # A dark film has no evidence for covid, so nothing lies over it: the pixels themselves are there.
    assert np.array_equal(made.pixel_array[:300, :200], np.repeat(dark[..., None], 3, axis=2))


@pytest.mark.parametrize("bits", [8, 12])
def test_monochrome1_comes_out_as_monochrome2(builder: ResultBuilder, bits: int) -> None:
    pixels = marked() if bits == 8 else marked().astype(np.uint16) * 16
    plain = opened(builder, studies.film(pixels, bits=bits))
    inverted = opened(builder, studies.film(pixels, bits=bits, inverted=True))
    assert np.array_equal(plain["sc"].pixel_array, inverted["sc"].pixel_array)
    assert np.array_equal(plain["seg"].pixel_array, inverted["seg"].pixel_array)


def test_words_and_numbers_are_burnt_in_and_said_to_be(builder: ResultBuilder) -> None:
    made = opened(builder, studies.film(marked(), PixelSpacing=[0.1, 0.2], LossyImageCompression="01"))["sc"]
    assert made.BurnedInAnnotation == "YES"
    assert list(made.ImageType) == ["DERIVED", "SECONDARY"]
    assert (made.PhotometricInterpretation, made.Modality) == ("RGB", "OT")
    assert "not for diagnosis" in made.DerivationDescription
    assert made.LossyImageCompression == "01"
    scale = 1536 / HEIGHT
    assert np.allclose(np.array(made.PixelSpacing, float), [0.1 / scale, 0.2 / scale], rtol=1e-3)
    caption = made.pixel_array[1536:]
    assert caption.shape[0] > 100
    assert caption.max() > 200  # there is something to read


def test_spacing_at_the_detector_is_not_passed_on_as_that_of_the_patient(builder: ResultBuilder) -> None:
    assert "PixelSpacing" not in opened(builder, studies.film(marked(), ImagerPixelSpacing=[0.1, 0.1]))["sc"]


def captions(monkeypatch: pytest.MonkeyPatch) -> list[heatmap.Caption]:
    """Collect what is written into the pictures."""
    written: list[heatmap.Caption] = []

    def annotate(picture: np.ndarray, caption: heatmap.Caption, *, evidence: bool = True) -> object:
        written.append(caption)
        return heatmap.annotate(picture, caption, evidence=evidence)

    monkeypatch.setattr(capture, "annotate", annotate)
    return written


def test_cannot_say_is_the_plain_radiograph_with_the_reason(
    builder: ResultBuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    written, image = captions(monkeypatch), builder.load(studies.film(marked()))
    finding = builder.predictor.answers([""], [image.view], class_maps=True)[0]
    unsure = replace(finding, label="cannot say", reasons=("unlike the training images",))
    made = pydicom.dcmread(io.BytesIO(builder.build_objects(image, unsure).objects["sc"])).pixel_array
    assert written[0].shown == "cannot say: unlike the training images"
    assert written[0].probability is None
    assert "looks only for" in written[0].note
    assert written[0].note.endswith("not checked at this hospital")
    rows, columns = (round(side * 1536 / HEIGHT) for side in (HEIGHT, WIDTH))
    radiograph = made[:rows, :columns]
    assert np.array_equal(radiograph[..., 0], radiograph[..., 2])  # grey: no heat map over it


def test_a_probability_has_no_more_digits_than_the_calibration_supports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = captions(monkeypatch)
    ece = {"value": 0.078, "ci_low": 0.06, "ci_high": 0.09, "n": 1577, "unit": "patients", "method": "bootstrap"}
    bundle = make_bundle(tmp_path / "bundle", metrics={"part": "test", "ece": ece})
    ResultBuilder(Predictor(bundle), kinds=["sc"]).build(studies.film(marked()))
    assert (written[0].shown, written[0].probability) == ("COVID-19", "over 95%")


def test_normal_is_no_sign_of_what_is_looked_for(builder: ResultBuilder, monkeypatch: pytest.MonkeyPatch) -> None:
    written = captions(monkeypatch)
    made = builder.build(studies.film(np.zeros((300, 200), np.uint8) + 20)).objects
    assert written[0].shown == "No sign of COVID-19 or viral pneumonia found: over 99.5%"
    picture = pydicom.dcmread(io.BytesIO(made["sc"])).pixel_array
    assert np.array_equal(picture[:300, :200, 0], picture[:300, :200, 2])  # no heat map, which would look like a sign
