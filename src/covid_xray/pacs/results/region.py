"""A class map in, the region that it marks out: a mask of the size of the radiograph, as a DICOM segmentation.

A heat map shows what moved the score. Its region is no outline of disease, and is never named so.
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from covid_xray.inference.heatmap import normalise
from covid_xray.pacs.results.result_context import MANUFACTURER, Result, algorithm_parameters

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

SHARE = 0.5  # of the map's maximum
_LONGEST = 64  # characters of LO
_COLOUR = (255, 140, 0)


def mask_of(result: Result) -> NDArray[np.bool_] | None:
    """Where the map of the class shown reaches the share of its maximum, inside the lungs where they were found.

    H x W of the radiograph; `None` when there is no such place: no evidence for the class, or none inside the lungs.
    """
    height, width = result.size
    strength = normalise(result.class_map, height=height, width=width)
    if strength is None:
        return None
    mask = strength >= result.share
    if inside_lungs(result):
        assert result.lungs is not None
        mask &= result.lungs.at_size(height, width)
    return mask if mask.any() else None


def inside_lungs(result: Result) -> bool:
    """Whether the region is limited to lungs."""
    return result.lungs is not None and result.lungs.plausible


def label(result: Result) -> str:
    """What the region is, in at most 64 characters."""
    where = "in lungs" if inside_lungs(result) else "lungs not found"
    return f"Heat map of {result.shown} >= {result.share:.0%} of max, {where}"[:_LONGEST]


def segmentation(result: Result, mask: NDArray[np.bool_]) -> "Dataset":
    """The DICOM segmentation of `mask`, one binary segment over all pixels of the original."""
    from highdicom import AlgorithmIdentificationSequence
    from highdicom.color import CIELabColor
    from highdicom.seg import SegmentAlgorithmTypeValues, Segmentation, SegmentationTypeValues, SegmentDescription
    from pydicom.sr.codedict import codes
    from pydicom.uid import ExplicitVRLittleEndian

    model = result.finding.model
    algorithm = AlgorithmIdentificationSequence(
        name=model.name[:_LONGEST],
        family=codes.cid7162.ArtificialIntelligence,
        version=model.version[:_LONGEST],
        source=MANUFACTURER,
        parameters={f"p{i}": text for i, text in enumerate(algorithm_parameters(result), 1)},
    )
    segment = SegmentDescription(
        segment_number=1,
        segment_label=label(result),
        segmented_property_category=codes.cid7150.SpatialAndRelationalConcept,
        segmented_property_type=codes.DCM.SelectedRegion,
        algorithm_type=SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=algorithm,
        tracking_uid=result.uid("region"),
        tracking_id="covid-xray region 1",
        anatomic_regions=[codes.SCT.Chest],
        display_color=CIELabColor.from_rgb(*_COLOUR),
    )
    made = Segmentation(
        source_images=[result.reference()],
        pixel_array=mask,
        segmentation_type=SegmentationTypeValues.BINARY,
        segment_descriptions=[segment],
        content_label="COVID_XRAY",
        content_description="Where the heat map is strong; not an outline of disease",
        content_creator_name="covid-xray^software",
        transfer_syntax_uid=ExplicitVRLittleEndian,
        **result.common("seg"),
    )
    made.PatientOrientation = result.reference().get("PatientOrientation", [])
    made.BodyPartExamined = "CHEST"
    return made
