"""List what de-identified copies keep beyond the table of PS3.15: harmless numbers, pixels, and terms of value sets.

Everything that is neither in that table nor here is removed from a copy.
"""

import functools
from collections.abc import Iterator, Mapping
from typing import Any

# Required, possibly empty, in CR and DX (PS3.3 A.2, A.26): emptied instead of removed.
TYPE_2 = frozenset(
    {
        *("PatientName", "PatientID", "PatientBirthDate", "PatientSex"),
        *("StudyDate", "StudyTime", "ReferringPhysicianName", "StudyID", "AccessionNumber"),
        *("SeriesNumber", "InstanceNumber", "Manufacturer", "Laterality", "PatientOrientation"),
        *("BodyPartExamined", "ViewPosition", "PositionReferenceIndicator", "DetectorType", "ViewModifierCodeSequence"),
        *("AcquisitionContextSequence", "AnatomicRegionModifierSequence"),
    }
)
# Type 2 without a condition: every copy has them.
ALWAYS = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex"),
    *("StudyDate", "StudyTime", "ReferringPhysicianName", "StudyID", "AccessionNumber"),
    *("SeriesNumber", "InstanceNumber", "Manufacturer"),
)
BINARY = frozenset({"PixelData", "LUTData"} | {f"{hue}PaletteColorLookupTableData" for hue in ("Red", "Green", "Blue")})
NUMBERS = frozenset(
    {
        *("SeriesNumber", "InstanceNumber", "AcquisitionNumber", "NumberOfFrames"),
        *("SamplesPerPixel", "PlanarConfiguration", "Rows", "Columns", "PixelAspectRatio", "PixelPaddingValue"),
        *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"),
        *("SmallestImagePixelValue", "LargestImagePixelValue", "PixelPaddingRangeLimit"),
        *("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing"),
        *("WindowCenter", "WindowWidth", "RescaleIntercept", "RescaleSlope", "LUTDescriptor"),
        *(f"{hue}PaletteColorLookupTableDescriptor" for hue in ("Red", "Green", "Blue")),
        *("PixelIntensityRelationshipSign", "LossyImageCompressionRatio"),
        *("KVP", "Exposure", "ExposureInuAs", "ExposureTime", "ExposureTimeInuS", "XRayTubeCurrent"),
        *("XRayTubeCurrentInuA", "DistanceSourceToDetector", "DistanceSourceToPatient", "FocalSpots"),
        *("EstimatedRadiographicMagnificationFactor", "ImageAndFluoroscopyAreaDoseProduct", "RelativeXRayExposure"),
        *("ExposureIndex", "TargetExposureIndex", "DeviationIndex", "Sensitivity", "PositionerPrimaryAngle"),
        *("PositionerSecondaryAngle", "FieldOfViewDimensions", "FieldOfViewOrigin", "FieldOfViewRotation"),
        *("DetectorElementPhysicalSize", "DetectorElementSpacing", "DetectorBinning"),
        *("ShutterLeftVerticalEdge", "ShutterRightVerticalEdge", "ShutterUpperHorizontalEdge"),
        *("ShutterLowerHorizontalEdge", "CollimatorLeftVerticalEdge", "CollimatorRightVerticalEdge"),
        *("CollimatorUpperHorizontalEdge", "CollimatorLowerHorizontalEdge"),
    }
)
_YES_NO = frozenset({"YES", "NO"})
_UNITS = frozenset({"OD", "HU", "US", "MGML", "Z_EFF", "ED", "EDW", "HU_MOD", "PCT"})
_SHAPES = frozenset({"RECTANGULAR", "CIRCULAR", "POLYGONAL", "RECTANGLE", "ROUND", "HEXAGONAL"})
TERMS: Mapping[str, frozenset[str]] = {
    "SpecificCharacterSet": frozenset(
        {"ISO_IR 100", "ISO_IR 101", "ISO_IR 109", "ISO_IR 110", "ISO_IR 144", "ISO_IR 127", "ISO_IR 126"}
        | {"ISO_IR 138", "ISO_IR 148", "ISO_IR 13", "ISO_IR 166", "ISO_IR 192", "ISO_IR 203", "ISO_IR 6"}
        | {"GB18030", "GBK"}
        | {f"ISO 2022 IR {number}" for number in (6, 13, 58, 87, 100, 101, 109, 110, 126, 127, 138, 144, 148, 149)}
        | {f"ISO 2022 IR {number}" for number in (159, 166, 203)}
    ),
    "ImageType": frozenset({"ORIGINAL", "DERIVED", "PRIMARY", "SECONDARY"}),
    "Modality": frozenset({"CR", "DX"}),
    "PresentationIntentType": frozenset({"FOR PRESENTATION", "FOR PROCESSING"}),
    "ConversionType": frozenset({"DV", "DI", "DF", "WSD", "SD", "SI", "DRW", "SYN"}),
    "PhotometricInterpretation": frozenset(
        {"MONOCHROME1", "MONOCHROME2", "PALETTE COLOR", "RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT"}
    ),
    "BodyPartExamined": frozenset({"CHEST", "LUNG", "THORAX", "ABDOMEN", "RIB", "SPINE", "CHESTABDOMEN"}),
    "ViewPosition": frozenset({"PA", "AP", "LL", "RL", "RLD", "LLD", "RLO", "LLO"}),
    "PatientOrientation": frozenset({a + b for a in ("", *"AFHLPR") for b in ("", *"AFHLPR")} - {""}),
    "PatientPosition": frozenset({"HFS", "HFP", "HFDR", "HFDL", "FFS", "FFP", "FFDR", "FFDL"}),
    "Laterality": frozenset("LRUB"),
    "ImageLaterality": frozenset("LRUB"),
    "PixelIntensityRelationship": frozenset({"LIN", "LOG", "DISP"}),
    "PresentationLUTShape": frozenset({"IDENTITY", "INVERSE"}),
    "VOILUTFunction": frozenset({"LINEAR", "LINEAR_EXACT", "SIGMOID"}),
    "RescaleType": _UNITS,
    "ModalityLUTType": _UNITS,
    "LossyImageCompression": frozenset({"00", "01"}),
    "LossyImageCompressionMethod": frozenset({"ISO_10918_1", "ISO_14495_1", "ISO_15444_1"}),
    "BurnedInAnnotation": _YES_NO,
    "RecognizableVisualFeatures": _YES_NO,
    "QualityControlImage": _YES_NO | {"BOTH"},
    "CalibrationImage": _YES_NO,
    "PartialView": _YES_NO,
    "FieldOfViewHorizontalFlip": _YES_NO,
    "FieldOfViewShape": _SHAPES,
    "ShutterShape": _SHAPES,
    "CollimatorShape": _SHAPES,
    "DetectorType": frozenset({"DIRECT", "SCINTILLATOR", "STORAGE", "FILM"}),
    "DetectorConfiguration": frozenset({"AREA", "SLOT"}),
    "PositionerType": frozenset({"CARM", "COLUMN", "MAMMOGRAPHIC", "PANORAMIC", "CEPHALOSTAT", "RIGID", "NONE"}),
    "ExposureStatus": frozenset({"NORMAL", "ABORTED"}),
    "ExposureControlMode": frozenset({"MANUAL", "AUTOMATIC"}),
    "Grid": frozenset({"FIXED", "FOCUSED", "RECIPROCATING", "PARALLEL", "CROSSED", "NONE"}),
    "PixelSpacingCalibrationType": frozenset({"GEOMETRY", "FIDUCIAL"}),
    "PatientSex": frozenset(),
}
_RETIRED = ("SRT", "SNM3", "99SDM")  # names of SNOMED-RT


@functools.cache
def standard_codes() -> Mapping[tuple[str, str], str]:
    """Return the meaning of each code of DCM and SCT in a value set of PS3.16; of SNOMED-RT that of its SCT code."""
    from pydicom.sr._snomed_dict import mapping

    found = {(scheme, value): meaning for scheme, value, meaning in _concepts()}
    retired = {(scheme, value): sct for scheme in _RETIRED for value, sct in mapping["SRT"].items()}
    return found | {key: found["SCT", sct] for key, sct in retired.items() if ("SCT", sct) in found}


@functools.cache
def standard_meanings() -> frozenset[str]:
    """Return all meanings of the codes of PS3.16: other editions have some of them for other codes."""
    return frozenset(meaning for _, _, meaning in _concepts())


def _concepts() -> Iterator[tuple[str, str, str]]:
    from pydicom.sr import _concepts_dict

    concepts: Any = _concepts_dict.concepts
    for scheme in ("DCM", "SCT"):
        for entries in concepts[scheme].values():
            for value, (meaning, _) in entries.items():
                yield scheme, value, meaning
