"""Make a Secondary Capture: the radiograph with heat map and caption burnt in.

The radiograph lies at the top left: a point at (row, column) of the original is at (row, column) times `scale`.
"""

import numpy as np
from highdicom.sc import SCImage
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from covid_xray.inference.heatmap import DISCLAIMER, Caption, annotate, normalise, outlined, overlay
from covid_xray.inference.heatmap_files import display
from covid_xray.inference.lung_facts import in_words
from covid_xray.inference.lungs import WHOLE
from covid_xray.pacs.results.result_context import MANUFACTURER, ResultContext

MAX_SIDE = 1536  # pixels of the longer side: 7 MB, uncompressed so that every archive shows it


def secondary_capture(result: ResultContext, *, max_side: int = MAX_SIDE) -> Dataset:
    """Make the Secondary Capture, RGB, `BurnedInAnnotation` YES."""
    picture = np.asarray(render(result, max_side=max_side))
    made = SCImage.from_ref_dataset(
        ref_dataset=result.reference,
        pixel_array=picture,
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        patient_orientation=("L", "F"),  # highdicom requires one; that of the original replaces it
        pixel_spacing=_spacing(result, max_side=max_side),
        transfer_syntax_uid=ExplicitVRLittleEndian,
        **result.common("sc"),
    )
    _describe(made, result)
    return made


def render(result: ResultContext, *, max_side: int = MAX_SIDE) -> Image.Image:
    """Render the picture, RGB."""
    finding = result.finding
    grey = display(result.original.radiograph, longest=max_side)
    note = f"{result.scope}\n{result.site}"
    if not result.may_have_region:  # a heat map of "normal" would look like a sign of something
        lungs = finding.lungs.words if finding.lungs else ""
        model = f"{result.model}, calibrated probability" if result.has_answer else result.model
        caption = Caption(result.statement, None, model, note, lungs)
        return annotate(grey, caption, evidence=False)
    caption = Caption(
        shown=result.label,
        probability=result.probability,
        model=f"{result.model}, calibrated probability",
        note=note,
        lungs=in_words(finding.lungs, cropped=finding.region != WHOLE),
    )
    evidence = normalise(result.class_map, height=4, width=4) is not None
    return annotate(outlined(overlay(grey, result.class_map), finding.region), caption, evidence=evidence)


def scale(result: ResultContext, *, max_side: int = MAX_SIDE) -> tuple[float, float]:
    """Return the rows and columns of the picture per row and column of the original."""
    height, width = display(result.original.radiograph, longest=max_side).shape
    return height / result.size[0], width / result.size[1]


def _spacing(result: ResultContext, *, max_side: int) -> tuple[float, float] | None:
    """Return millimetres per pixel if known at the patient; a spacing at the detector would measure too much."""
    spacing = result.original.tags.dataset.get("PixelSpacing")
    if spacing is None or result.original.radiograph.source.spacing is None:
        return None
    down, across = scale(result, max_side=max_side)
    row, column = result.original.radiograph.source.spacing
    return row / down, column / across


def _describe(made: Dataset, result: ResultContext) -> None:
    reference = result.reference
    made.ImageType = ["DERIVED", "SECONDARY"]
    made.ConversionType = "WSD"
    made.BurnedInAnnotation = "YES"
    made.PatientOrientation = reference.get("PatientOrientation", [])
    made.BodyPartExamined = "CHEST"
    content = f"Heat map of {result.shown} over the radiograph" if result.may_have_region else "Radiograph and finding"
    made.DerivationDescription = f"{content}, by {MANUFACTURER}; {DISCLAIMER}"
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
