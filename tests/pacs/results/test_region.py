"""The segmentation: the map above a share of its maximum, inside the lungs where they were found."""

import io
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest

from covid_xray.inference.predictor import Predictor
from covid_xray.pacs.results.result_objects import ResultBuilder
from support import segmentations, studies
from support.chests import chest

PIXELS = chest(height=160, width=140, body=255, lung=85)


def segment(folder: Path, share: float) -> pydicom.Dataset:
    builder = ResultBuilder(Predictor(studies.make_lung_bundle(folder / "bundle")), share=share)
    return pydicom.dcmread(io.BytesIO(builder.build(studies.film(PIXELS)).objects["seg"]))


def test_it_lies_inside_the_lungs_and_says_what_it_is(tmp_path: Path) -> None:
    made = segment(tmp_path, 0.25)
    found = made.pixel_array > 0
    lungs = PIXELS == 85
    assert found.sum() > 0.8 * lungs.sum()
    assert (found & ~lungs).sum() < 0.03 * found.sum()  # the lung network's grid is 32 x 32
    about = made.SegmentSequence[0]
    assert about.SegmentLabel == "Heat map of covid >= 25% of max, in lungs"
    assert about.SegmentAlgorithmType == "AUTOMATIC"
    assert about.SegmentedPropertyTypeCodeSequence[0].CodeMeaning == "Selected region"
    algorithm = about.SegmentationAlgorithmIdentificationSequence[0]
    assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == ("small", "1")
    source = made.SharedFunctionalGroupsSequence[0].get("DerivationImageSequence") or (
        made.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence
    )
    original = pydicom.dcmread(io.BytesIO(studies.film(PIXELS)))
    assert source[0].SourceImageSequence[0].ReferencedSOPInstanceUID == original.SOPInstanceUID


def test_a_higher_share_is_a_smaller_region(tmp_path: Path) -> None:
    sizes = [int((segment(tmp_path / str(share), share).pixel_array > 0).sum()) for share in (0.25, 0.5)]
    assert sizes[1] < 0.5 * sizes[0]


def test_no_evidence_inside_the_lungs_is_no_region(tmp_path: Path) -> None:
    builder = ResultBuilder(Predictor(studies.make_lung_bundle(tmp_path / "bundle")), share=0.95)
    assert "seg" not in builder.build(studies.film(PIXELS)).objects


@pytest.mark.parametrize("tags", [{}, {"FrameOfReferenceUID": "1.2.3.4"}])
def test_a_frame_of_reference_is_kept_else_made(tags: dict[str, str], tmp_path: Path) -> None:
    builder = ResultBuilder(Predictor(studies.make_lung_bundle(tmp_path / "bundle")), share=0.25)
    made = pydicom.dcmread(io.BytesIO(builder.build(studies.film(PIXELS, **tags)).objects["seg"]))
    uid = made.FrameOfReferenceUID
    assert uid == tags["FrameOfReferenceUID"] if tags else uid.startswith("2.25.")
    assert np.any(made.pixel_array)


SPACINGS = {
    "none": {},
    "at the patient": {"PixelSpacing": [0.2, 0.25]},
    "at the detector": {"ImagerPixelSpacing": [0.14, 0.14]},
    "zero": {"PixelSpacing": [0, 0], "ImagerPixelSpacing": [0, 0.1]},
    "with a frame of reference": {"PixelSpacing": [0.2, 0.2], "FrameOfReferenceUID": "1.2.3.4"},
}


@pytest.mark.parametrize("name", SPACINGS)
def test_other_readers_open_it_whatever_the_original_says_about_spacing(name: str, tmp_path: Path) -> None:
    studies.require("dciodvfy")
    builder = ResultBuilder(Predictor(studies.make_lung_bundle(tmp_path / "bundle")), share=0.25)
    original = studies.film(PIXELS, **SPACINGS[name])
    data = builder.build(original).objects["seg"]
    mask = pydicom.dcmread(io.BytesIO(data)).pixel_array > 0
    opened = highdicom.seg.segread(io.BytesIO(data))
    assert np.array_equal(opened.get_total_pixel_matrix() if opened.is_tiled else opened.pixel_array > 0, mask)
    spacing = opened.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing
    expected = {"at the patient": [0.2, 0.25], "at the detector": [0.14, 0.14], "with a frame of reference": [0.2, 0.2]}
    assert [float(side) for side in spacing] == expected.get(name, [1.0, 1.0])
    assert studies.errors_of(data, tmp_path) == []
    assert np.array_equal(segmentations.read_with_dcmqi(data, tmp_path), mask)
    if name in ("none", "at the patient"):  # a second each
        assert np.array_equal(segmentations.read_with_cornerstone(data, original, tmp_path), mask)


def test_the_region_of_a_film_that_was_turned_back_lies_on_the_pixels_as_sent(tmp_path: Path) -> None:
    builder = ResultBuilder(Predictor(studies.make_lung_bundle(tmp_path / "bundle")), share=0.25)
    upright = pydicom.dcmread(io.BytesIO(builder.build(studies.film(PIXELS)).objects["seg"])).pixel_array
    lying = studies.film(np.ascontiguousarray(np.rot90(PIXELS)), PatientOrientation=["F", "R"])
    made = pydicom.dcmread(io.BytesIO(builder.build(lying).objects["seg"]))
    assert np.array_equal(made.pixel_array, np.rot90(upright))
