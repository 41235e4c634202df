"""Threshold a class map into a region and make its DICOM segmentation.

A heat map shows what changed the score. Its region is no outline of disease, and is never named so.
"""

import copy

import numpy as np
from highdicom import AlgorithmIdentificationSequence, seg
from highdicom.color import CIELabColor
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian

from covid_xray.inference.heatmap import normalise
from covid_xray.pacs.results.result_context import LO_LENGTH, MANUFACTURER, ResultContext, algorithm_parameters

_COLOUR = (255, 140, 0)
_PLANE = {  # a projection has no place in the patient; without one dcmqi and Cornerstone read no segmentation
    "ImagePositionPatient": [0.0, 0.0, 0.0],
    "ImageOrientationPatient": [1.0, 0.0, 0.0, 0.0, 1.0, 0.0],
    "SliceThickness": 1.0,
}
_NOMINAL_SPACING = [1.0, 1.0]  # mm, where the original states none


def region_mask(result: ResultContext) -> NDArray[np.bool_] | None:
    """Mark where the map of the shown class reaches the share of its maximum, inside the lungs where they were found.

    H x W of the pixels as they were sent; `None` without evidence for the class, or without any inside the lungs.
    """
    height, width = result.size
    strength = normalise(result.class_map, height=height, width=width)
    if strength is None:
        return None
    mask = strength >= result.settings.share
    if is_limited_to_lungs(result):
        assert result.lungs is not None
        mask &= result.lungs.at_size(height, width)
    return np.rot90(mask, -result.original.radiograph.source.turned) if mask.any() else None


def is_limited_to_lungs(result: ResultContext) -> bool:
    """Return whether the region is limited to the lungs."""
    return result.lungs is not None and result.lungs.plausible


def region_label(result: ResultContext) -> str:
    """Describe the region in at most 64 characters."""
    where = "in lungs" if is_limited_to_lungs(result) else "lungs not found"
    return f"Heat map of {result.shown} >= {result.settings.share:.0%} of max, {where}"[:LO_LENGTH]


def segmentation(result: ResultContext, mask: NDArray[np.bool_]) -> Dataset:
    """Make the segmentation of an H x W mask: one binary segment over all pixels of the original."""
    model = result.finding.model
    algorithm = AlgorithmIdentificationSequence(
        name=model.name[:LO_LENGTH],
        family=codes.cid7162.ArtificialIntelligence,
        version=model.version[:LO_LENGTH],
        source=MANUFACTURER,
        parameters={f"p{i}": text for i, text in enumerate(algorithm_parameters(result), 1)},
    )
    segment = seg.SegmentDescription(
        segment_number=1,
        segment_label=region_label(result),
        segmented_property_category=codes.cid7150.SpatialAndRelationalConcept,
        segmented_property_type=codes.DCM.SelectedRegion,
        algorithm_type=seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=algorithm,
        tracking_uid=result.tracking_uid("region"),
        tracking_id="covid-xray region 1",
        anatomic_regions=[codes.SCT.Chest],
        display_color=CIELabColor.from_rgb(*_COLOUR),
    )
    made = seg.Segmentation(
        source_images=[_place(result)],
        pixel_array=mask,
        segmentation_type=seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[segment],
        content_label="COVID_XRAY",
        content_description="Where the heat map is strong; not an outline of disease",
        content_creator_name="covid-xray^software",
        transfer_syntax_uid=ExplicitVRLittleEndian,
        **result.common("seg"),
    )
    made.PatientOrientation = result.reference.get("PatientOrientation", [])
    made.BodyPartExamined = "CHEST"
    return made


def _place(result: ResultContext) -> Dataset:
    """Return the tags of the original with a nominal plane, in a frame of reference of its own where it has none."""
    placed = copy.deepcopy(result.reference)
    if "FrameOfReferenceUID" not in placed:
        placed.FrameOfReferenceUID = result.tracking_uid("frame of reference")
    if "PixelSpacing" not in placed:
        placed.PixelSpacing = placed.get("ImagerPixelSpacing", _NOMINAL_SPACING)
    for keyword, value in _PLANE.items():
        setattr(placed, keyword, value)
    return placed
