"""A radiograph with its answer in, a Secondary Capture out: the picture with the heat map and the words burnt in.

The radiograph lies at the top left of the picture, so that a point of the original at (row, column) is found at
(row, column) times `scale`; what is said of it stands beside and below.
"""

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from covid_xray.inference.finding import CANNOT_SAY
from covid_xray.inference.heatmap import DISCLAIMER, Caption, annotate, normalise, outlined, overlay
from covid_xray.inference.heatmap_files import display
from covid_xray.inference.lung_facts import in_words
from covid_xray.inference.lungs import WHOLE
from covid_xray.pacs.results.result_context import MANUFACTURER, Result

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

LONGEST = 1536  # pixels of the radiograph's longer side: 7 MB, uncompressed so that every archive shows it


def secondary_capture(result: Result, *, longest: int = LONGEST) -> "Dataset":
    """The Secondary Capture, RGB, `BurnedInAnnotation` YES."""
    from highdicom.sc import SCImage
    from pydicom.uid import ExplicitVRLittleEndian

    picture = np.asarray(draw(result, longest=longest))
    made = SCImage.from_ref_dataset(
        ref_dataset=result.reference(),
        pixel_array=picture,
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        patient_orientation=("L", "F"),  # highdicom wants one; that of the original replaces it
        pixel_spacing=_spacing(result, longest=longest),
        transfer_syntax_uid=ExplicitVRLittleEndian,
        **result.common("sc"),
    )
    _describe(made, result)
    return made


def draw(result: Result, *, longest: int = LONGEST) -> Image.Image:
    """The picture, RGB."""
    finding = result.finding
    grey = display(result.original.radiograph, longest=longest)
    caption = Caption(
        shown=f"{CANNOT_SAY}; most probable: {result.shown}" if finding.reasons else result.shown,
        probability=finding.probabilities[result.shown],
        model=f"{result.model}, calibrated probability",
        note="; ".join(finding.reasons),
        lungs=in_words(finding.lungs, cropped=finding.region != WHOLE),
    )
    evidence = normalise(result.class_map, height=4, width=4) is not None
    return annotate(outlined(overlay(grey, result.class_map), finding.region), caption, evidence=evidence)


def scale(result: Result, *, longest: int = LONGEST) -> tuple[float, float]:
    """Rows and columns of the picture for each row and column of the original."""
    height, width = display(result.original.radiograph, longest=longest).shape
    return height / result.size[0], width / result.size[1]


def _spacing(result: Result, *, longest: int) -> tuple[float, float] | None:
    """Millimetres of a pixel where the original's are known at the patient; those at the detector measure too much."""
    said = result.original.tags.dataset.get("PixelSpacing")
    if said is None or result.original.radiograph.source.spacing is None:
        return None
    down, across = scale(result, longest=longest)
    row, column = result.original.radiograph.source.spacing
    return row / down, column / across


def _describe(made: "Dataset", result: Result) -> None:
    from pydicom.dataset import Dataset

    reference = result.reference()
    made.ImageType = ["DERIVED", "SECONDARY"]
    made.ConversionType = "WSD"
    made.BurnedInAnnotation = "YES"
    made.PatientOrientation = reference.get("PatientOrientation", [])
    made.BodyPartExamined = "CHEST"
    made.DerivationDescription = f"Heat map of {result.shown} by {MANUFACTURER} over the radiograph; {DISCLAIMER}"
    source = Dataset()
    source.ReferencedSOPClassUID, source.ReferencedSOPInstanceUID = reference.SOPClassUID, reference.SOPInstanceUID
    purpose = Dataset()
    purpose.CodeValue, purpose.CodingSchemeDesignator = "121322", "DCM"
    purpose.CodeMeaning = "Source image for image processing operation"
    source.PurposeOfReferenceCodeSequence = [purpose]
    made.SourceImageSequence = [source]
    for keyword in ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod"):
        if keyword in reference:
            setattr(made, keyword, reference.get(keyword))
