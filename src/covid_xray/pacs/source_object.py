"""Read the tags of a DICOM file that its results need, and refuse what is no frontal chest radiograph."""

import functools
import io
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
import pydicom
from pydicom.config import RAISE
from pydicom.dataset import Dataset
from pydicom.valuerep import DA, TM, PersonName, validate_value

from covid_xray.errors import BadImage, InputRefused
from covid_xray.files import sha256_bytes
from covid_xray.images import dicom_tags
from covid_xray.images.dicom_file import is_dicom, normalise, repair
from covid_xray.images.radiograph import Radiograph
from covid_xray.limits import Limits
from covid_xray.pacs.phi_safe_logging import suppress_phi

CR = "1.2.840.10008.5.1.4.1.1.1"
DX = "1.2.840.10008.5.1.4.1.1.1.1"  # for presentation
RADIOGRAPHS = frozenset({CR, DX})
NOT_A_CHEST_PICTURE = "not-a-chest-picture"  # code of what the gate refuses, with results that say so
_UID = re.compile(r"[0-9]+(\.[0-9]+)*")  # leading zeros, which PS3.5 forbids, are read: some devices write them

_IDENTITY = ("PatientName", "PatientID", "IssuerOfPatientID", "AccessionNumber", "StudyID", "ReferringPhysicianName")
_STUDY = ("StudyDescription", "PatientComments", "AdmissionID")
_DATES = {"PatientBirthDate": "DA", "StudyDate": "DA", "StudyTime": "TM"}
_MOMENTS = ("Study", "Acquisition", "Content", "Series")  # pairs of a date and a time, the first usable one is taken
_NO_MOMENT = ("19000101", "000000")
_SPACINGS = ("PixelSpacing", "ImagerPixelSpacing")
# Tags that differ between encodings of one object, or whose meaning is in the decoded pixels.
_ENCODING = frozenset(
    {
        *("SpecificCharacterSet", "PhotometricInterpretation", "SamplesPerPixel", "NumberOfFrames"),
        *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "ModalityLUTSequence", "VOILUTSequence"),
    }
)
_IMAGE = (
    *("SpecificCharacterSet", "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"),
    *(
        "FrameOfReferenceUID",
        "PositionReferenceIndicator",
        "PatientSex",
        "PatientAge",
        "SeriesNumber",
        "InstanceNumber",
    ),
    *("Modality", "ViewPosition", "BodyPartExamined", "PresentationIntentType", "PatientOrientation", "NumberOfFrames"),
    *("Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated", "BitsStored", "HighBit"),
    *("PixelRepresentation", "PixelSpacing", "ImagerPixelSpacing", "RescaleSlope", "RescaleIntercept", "RescaleType"),
    *("ModalityLUTSequence", "WindowCenter", "WindowWidth", "WindowCenterWidthExplanation", "VOILUTFunction"),
    *("VOILUTSequence", "LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod"),
)


class NoResult(InputRefused):
    """A valid DICOM object that is no frontal chest radiograph. The code and the message say why."""

    dicom_status = 0x0000  # it was read and counted
    default_code = "no-result"


@dataclass(frozen=True, eq=False)
class Tags:
    """The tags of one object."""

    dataset: Dataset  # without pixels

    @functools.cached_property
    def sha256(self) -> str:
        """Return the digest of the tags that results depend on: the same in every encoding of the object."""
        keywords = sorted({*_IDENTITY, *_STUDY, *_DATES, *_IMAGE} - _ENCODING)
        found = {keyword: _normalise(self.dataset.get(keyword)) for keyword in keywords}
        known = [(keyword, value) for keyword, value in found.items() if value]
        return sha256_bytes(json.dumps([known, study_moment(self)]).encode())

    def text(self, keyword: str) -> str:
        """Return the first value of a tag as text; empty where there is none."""
        value = self.dataset.get(keyword)
        if isinstance(value, Sequence) and not isinstance(value, str):
            value = value[0] if len(value) else None
        return "" if value is None else str(value).strip()

    @property
    def sop_uid(self) -> str:
        """Return the SOP Instance UID."""
        return self.text("SOPInstanceUID")

    @property
    def study_uid(self) -> str:
        """Return the Study Instance UID."""
        return self.text("StudyInstanceUID")


@dataclass(frozen=True, eq=False)
class Original:
    """A radiograph that results can be made for: its tags and pixels, and its digest where that is known."""

    tags: Tags
    radiograph: Radiograph
    known_sha256: str = ""

    @functools.cached_property
    def sha256(self) -> str:
        """Return the digest of the decoded pixels and of the tags that results depend on."""
        if self.known_sha256:
            return self.known_sha256
        pixels, bits = self.radiograph.pixels, self.radiograph.bits
        facts = json.dumps([self.tags.sha256, pixels.shape, bits]).encode()
        return sha256_bytes(facts, np.ascontiguousarray(pixels).data)


def read_tags(data: bytes, *, limits: Limits = Limits()) -> Tags:  # noqa: B008  (frozen)
    """Read the tags of a DICOM file.

    Raises:
        BadImage: `not-dicom`, `unsupported-transfer-syntax`, or `unusable-tags` (unreadable, or a UID is missing).
    """
    if not is_dicom(data):
        raise BadImage("Not a DICOM file.", code="not-dicom")
    data, *_ = normalise(data, limits=limits)
    with suppress_phi("The DICOM tags cannot be parsed"):
        moments = [f"{name}{part}" for name in _MOMENTS for part in ("Date", "Time")]
        keywords = [
            *_IDENTITY,
            *_STUDY,
            *_DATES,
            *_IMAGE,
            *moments,
            "RequestedProcedurePriority",
            "PresentationLUTShape",
        ]
        keywords += [*dicom_tags.TAGS, *dicom_tags.PLACE_TAGS]
        found = pydicom.dcmread(io.BytesIO(data), stop_before_pixels=True, specific_tags=keywords)
        found.buffer = None  # else the tags would keep the whole file in memory
        repair(found)
        for element in found.iterall():
            _ = element.value  # converts it here, where exceptions are replaced
        tags = Tags(found)
        for keyword in ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"):
            if not _is_uid(tags.text(keyword)):
                raise BadImage(f"The object has no valid {keyword}.", code="unusable-tags")
        return tags


def require_frontal_chest(tags: Tags) -> None:
    """Raise `NoResult` when the tags say that this is no frontal chest radiograph."""
    if tags.text("SOPClassUID") not in RADIOGRAPHS:
        raise NoResult("Not a CR or DX image.", code="not-a-radiograph")
    if dicom_tags.is_for_processing(tags.dataset):
        raise NoResult("An image for processing. Send the one for presentation.", code="for-processing")
    if dicom_tags.is_chest(tags.dataset) is False:
        raise NoResult("Not a radiograph of the chest: the tags name another body part.", code="not-a-chest")
    if dicom_tags.view_of(tags.dataset) not in (None, *dicom_tags.FRONTAL):
        raise NoResult("Not a frontal view: the tags name neither PA nor AP.", code="not-frontal")


def reference_dataset(tags: Tags) -> Dataset:
    """Return the tags as highdicom needs them: identifying ones present, dates and sex valid or empty, spacings > 0.

    Identifiers are never changed, even if too long: a result must have the patient and study of its original.
    """
    made = Dataset()
    for keyword in (*_IDENTITY, *_STUDY):
        value = tags.text(keyword)
        if value or keyword in ("PatientName", "PatientID", "AccessionNumber", "StudyID", "ReferringPhysicianName"):
            setattr(made, keyword, PersonName(value) if keyword.endswith("Name") else value)
    for keyword, kind in _DATES.items():
        setattr(made, keyword, _valid_or_empty(tags.text(keyword), kind))
    sex = tags.text("PatientSex").upper()
    made.PatientSex = sex if sex in ("M", "F", "O") else ""
    for keyword in _IMAGE:
        if keyword not in ("SpecificCharacterSet", "PatientSex") and tags.dataset.get(keyword) not in (None, ""):
            setattr(made, keyword, tags.dataset.get(keyword))
    if not _valid_or_empty(tags.text("PatientAge"), "AS"):
        made.pop("PatientAge", None)
    for keyword in _SPACINGS:
        if keyword in made and not is_spacing(made[keyword].value):
            del made[keyword]
    return made


def is_spacing(value: Any) -> bool:
    """Return whether a value is two finite numbers above zero."""
    try:
        numbers = [float(number) for number in value]
    except (TypeError, ValueError):
        return False
    return len(numbers) == 2 and all(0 < number < float("inf") for number in numbers)


def study_moment(tags: Tags) -> tuple[str, str]:
    """Return the date and time of the study as DICOM writes them, or of the image where the study has no usable date.

    1 January 1900 where the object has no date at all: some modules need one.
    """
    for name in _MOMENTS:
        if date := _valid_or_empty(tags.text(f"{name}Date"), "DA"):
            return date, _valid_or_empty(tags.text(f"{name}Time"), "TM") or _NO_MOMENT[1]
    return _NO_MOMENT


def character_set(dataset: Dataset, *others: str) -> str | None:
    """Return the SpecificCharacterSet of a data set and other texts: none for ASCII, else UTF-8."""
    texts = (str(element.value) for element in dataset if element.VR in ("PN", "LO", "SH", "LT", "ST"))
    return None if all(text.isascii() for text in (*texts, *others)) else "ISO_IR 192"


def _valid_or_empty(value: str, kind: str) -> str:
    """Return the value, or an empty text where it is invalid for its VR (DA, TM, AS)."""
    try:
        validate_value(kind, value, RAISE)
        return str({"DA": DA, "TM": TM}.get(kind, str)(value)) if value else ""
    except (ValueError, AttributeError, TypeError):
        return ""


def _is_uid(text: str) -> bool:
    return len(text) <= 64 and _UID.fullmatch(text) is not None


def _normalise(value: Any) -> str:
    """Write a value as text that does not depend on its encoding: numbers by value, names without empty parts."""
    if value is None:
        return ""
    if isinstance(value, PersonName):
        return "=".join(group.rstrip("^ ") for group in str(value).split("=")).rstrip("=")
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "\\".join(_normalise(one) for one in value)
    return str(float(value)) if isinstance(value, int | float | Decimal) else str(value).strip()
