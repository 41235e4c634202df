"""The bytes of a DICOM file in, what its results need of it out: an `Original`, or why it gets no results.

Only the tags named here are read: what identifies patient, study and image, and what tells a frontal chest radiograph.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from covid_xray.errors import BadImage, InputRefused
from covid_xray.files import sha256_bytes
from covid_xray.images.dicom import TRANSFER_SYNTAXES, transfer_syntax
from covid_xray.images.radiograph import Radiograph
from covid_xray.pacs.phi_safe_logging import quietly

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

CR = "1.2.840.10008.5.1.4.1.1.1"
DX = "1.2.840.10008.5.1.4.1.1.1.1"  # for presentation; the one for processing (.1.1.1) is no picture to look at
RADIOGRAPHS = frozenset({CR, DX})
FRONTAL = frozenset({"PA", "AP"})
_CHEST = ("CHEST", "THORAX", "LUNG", "TORAX", "THX", "CXR")  # of BodyPartExamined, wherever in it
_DICM_AT = 128

_IDENTITY = ("PatientName", "PatientID", "IssuerOfPatientID", "AccessionNumber", "StudyID", "ReferringPhysicianName")
_STUDY = ("StudyDescription", "PatientComments", "AdmissionID")
_DATES = {"PatientBirthDate": "DA", "StudyDate": "DA", "StudyTime": "TM"}
_IMAGE = [
    "SpecificCharacterSet",
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "FrameOfReferenceUID",
    "PositionReferenceIndicator",
    "PatientSex",
    "PatientAge",
    "SeriesNumber",
    "InstanceNumber",
    "Modality",
    "ViewPosition",
    "BodyPartExamined",
    "PresentationIntentType",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "PatientOrientation",
    "PixelSpacing",
    "ImagerPixelSpacing",
    "RescaleSlope",
    "RescaleIntercept",
    "RescaleType",
    "ModalityLUTSequence",
    "WindowCenter",
    "WindowWidth",
    "WindowCenterWidthExplanation",
    "VOILUTFunction",
    "VOILUTSequence",
    "LossyImageCompression",
    "LossyImageCompressionRatio",
    "LossyImageCompressionMethod",
]


class NoResult(InputRefused):
    """A sound DICOM object that is no frontal chest radiograph. The code and the words say why."""

    dicom_status = 0x0000  # it was understood and kept account of; there is just nothing to say of it
    default_code = "no-result"


@dataclass(frozen=True, eq=False)
class Tags:
    """What one object says of itself.

    Args:
        dataset: the tags of this file that were found, without pixels.
        sha256: of the data set as it was sent, without the file's preamble and meta header, so that one object that
            came through two doors is one.
    """

    dataset: "Dataset"
    sha256: str

    def text(self, keyword: str) -> str:
        """The first value of a tag as text; empty where there is none."""
        value = self.dataset.get(keyword)
        if isinstance(value, Sequence) and not isinstance(value, str):
            value = value[0] if len(value) else None
        return "" if value is None else str(value).strip()

    @property
    def sop_uid(self) -> str:
        """SOP Instance UID."""
        return self.text("SOPInstanceUID")

    @property
    def study_uid(self) -> str:
        """Study Instance UID."""
        return self.text("StudyInstanceUID")


@dataclass(frozen=True, eq=False)
class Original:
    """A radiograph that results can be made for: its tags, and its pixels as one grey picture."""

    tags: Tags
    radiograph: Radiograph


def read_tags(data: bytes) -> Tags:
    """The tags of a DICOM file.

    Raises:
        BadImage: no DICOM file (`not-dicom`), a transfer syntax that is not read, tags that cannot be parsed, or none
            of the UIDs that every object has (`unusable-tags`).
    """
    if data[_DICM_AT : _DICM_AT + 4] != b"DICM":
        raise BadImage("expected a DICOM file. Received: other bytes", code="not-dicom")
    if transfer_syntax(data) not in TRANSFER_SYNTAXES:
        raise BadImage(
            "expected an uncompressed little-endian, RLE, JPEG, JPEG-LS or JPEG 2000 file. Received: another syntax",
            code="unsupported-transfer-syntax",
        )
    import pydicom

    with quietly("tags that can be parsed"):
        wanted = [*_IDENTITY, *_STUDY, *_DATES, *_IMAGE]
        found = pydicom.dcmread(io.BytesIO(data), stop_before_pixels=True, specific_tags=wanted)
        for element in found.iterall():
            _ = element.value  # converted here, where what pydicom says of a value stays inside
        tags = Tags(found, sha256_bytes(data[_behind_meta(found) :]))
        for keyword in ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"):
            if not pydicom.uid.UID(tags.text(keyword)).is_valid:
                raise BadImage(f"expected an object with a {keyword}. Received: none", code="unusable-tags")
        return tags


def check_kind(tags: Tags) -> None:
    """Raises `NoResult` when the tags say that this is no frontal chest radiograph."""
    if tags.text("SOPClassUID") not in RADIOGRAPHS:
        raise NoResult("expected a CR or DX image. Received: another kind of object", code="not-a-radiograph")
    if tags.text("PresentationIntentType").upper() == "FOR PROCESSING":
        raise NoResult("expected an image for presentation. Received: one for processing", code="for-processing")
    part = tags.text("BodyPartExamined").upper()
    if part and not any(word in part for word in _CHEST):
        raise NoResult("expected a radiograph of the chest. Received: another body part", code="not-a-chest")
    view = tags.text("ViewPosition").upper()
    if view and not view.startswith(tuple(FRONTAL)):  # some write PA_ERECT, AP SUPINE
        raise NoResult("expected a frontal view, PA or AP. Received: another view", code="not-frontal")


def reference(tags: Tags) -> "Dataset":
    """The tags as libraries take them: every identifying one is there, dates and sex are valid or empty.

    Identifiers stay as they are, also where they are longer than the standard lets them be: a result whose patient
    differs from the original's is in nobody's folder.
    """
    from pydicom.dataset import Dataset
    from pydicom.valuerep import PersonName

    made = Dataset()
    for keyword in (*_IDENTITY, *_STUDY):
        value = tags.text(keyword)
        if value or keyword in ("PatientName", "PatientID", "AccessionNumber", "StudyID", "ReferringPhysicianName"):
            setattr(made, keyword, PersonName(value) if keyword.endswith("Name") else value)
    for keyword, kind in _DATES.items():
        setattr(made, keyword, _valid(tags.text(keyword), kind))
    sex = tags.text("PatientSex").upper()
    made.PatientSex = sex if sex in ("M", "F", "O") else ""
    for keyword in _IMAGE:
        if keyword not in ("SpecificCharacterSet", "PatientSex") and tags.dataset.get(keyword) not in (None, ""):
            setattr(made, keyword, tags.dataset.get(keyword))
    if not _valid(tags.text("PatientAge"), "AS"):
        made.pop("PatientAge", None)
    return made


def character_set(dataset: "Dataset") -> str | None:
    """What the text of a data set needs: nothing for ASCII, else UTF-8."""
    texts = (str(element.value) for element in dataset if element.VR in ("PN", "LO", "SH", "LT", "ST"))
    return None if all(text.isascii() for text in texts) else "ISO_IR 192"


def _valid(value: str, kind: str) -> str:
    """The value, or nothing where it is none of its kind (DA, TM, AS)."""
    from pydicom.config import RAISE
    from pydicom.valuerep import DA, TM, validate_value

    try:
        validate_value(kind, value, RAISE)
        return str({"DA": DA, "TM": TM}.get(kind, str)(value)) if value else ""
    except (ValueError, AttributeError, TypeError):
        return ""


def _behind_meta(found: Any) -> int:
    """Where the data set begins: behind preamble, magic word and meta header."""
    length = found.file_meta.get("FileMetaInformationGroupLength")
    return _DICM_AT + 4 + 12 + int(length) if length else _DICM_AT + 4
