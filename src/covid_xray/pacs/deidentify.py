"""Make de-identified copies of DICOM radiographs for research.

Applies the Basic Application Level Confidentiality Profile of PS3.15 with the rules of dicom-anonymizer (table E.1-1,
edition 2026c), also in nested items, and deletes the free texts, dates and private elements that the profile keeps.
Pseudonyms depend on the identifier and a secret key. Text drawn into the pixels is not removed.
"""

import hmac
import io
import secrets
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydicom
from pydicom._uid_dict import UID_dictionary
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID

from covid_xray.errors import MissingPackage, UsageError
from covid_xray.files import replacing
from covid_xray.pacs.phi_safe_logging import suppress_phi
from covid_xray.pacs.source_object import read_tags, require_frontal_chest

EDITION = "dicomfields_2026c"
_KEY_BYTES = 32
_TEXT_VRS = frozenset({"AE", "AS", "DA", "DT", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UN", "UR", "UT"})
# Text without personal data, or replaced by the rules.
_KEPT_TEXT = frozenset(
    {
        *("PatientID", "PatientName", "PatientBirthDate", "StudyDate", "StudyTime", "StudyID", "AccessionNumber"),
        *("ReferringPhysicianName", "DeidentificationMethod", "RescaleType", "PixelSpacingCalibrationDescription"),
    }
)
_CODE_TAGS = frozenset({"CodeValue", "CodingSchemeDesignator", "CodingSchemeVersion", "CodeMeaning"})
_STANDARD_SCHEMES = frozenset({"SCT", "SRT", "99SDM", "SNM3", "DCM"})  # their meanings hold no personal data
_EMPTIED = ("PatientBirthDate", "StudyDate", "StudyTime")  # many programs reject the library's dummy dates


@dataclass(frozen=True)
class DeidentifiedCopy:
    """A de-identified copy."""

    data: bytes  # a DICOM file
    patient: str  # the patient's pseudonym
    name: str  # of the file, derived from the SOP Instance UID
    burnt_in: str  # BurnedInAnnotation: `yes`, `no` or `not said`; the pixels are not checked


class Deidentifier:
    """Make copies under one key of 32 bytes, with which pseudonyms can be traced to patients. Thread-safe.

    Raises `MissingPackage` without dicom-anonymizer.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key
        try:
            from dicomanonymizer.simpledicomanonymizer import initialize_actions
        except ModuleNotFoundError:
            raise MissingPackage('dicom-anonymizer is not installed. Run: pip install "covid-xray[pacs]"') from None
        self._rules: dict[tuple[int, ...], Callable[..., None]] = {
            tag: _delete_on_failure(action) for tag, action in initialize_actions(EDITION).items()
        }

    def copy(self, data: bytes) -> DeidentifiedCopy:
        """Copy a CR or DX file. Raises `BadImage`, or `NoResult` for other objects."""
        tags = read_tags(data)
        require_frontal_chest(tags)
        patient, sop = self.pseudonym(tags.text("PatientID")), self.uid(tags.sop_uid)
        with suppress_phi("The object cannot be de-identified"):
            dataset = pydicom.dcmread(io.BytesIO(data))
            burnt_in = str(dataset.get("BurnedInAnnotation") or "").upper()
            self._apply(dataset)
            dataset.PatientID = dataset.PatientName = patient
            for keyword in _EMPTIED:
                setattr(dataset, keyword, "")
            _record_method(dataset)
            name = f"{self._digest('file', tags.sop_uid)[:16]}.dcm"
            said = {"YES": "yes", "NO": "no"}.get(burnt_in, "not said")
            return DeidentifiedCopy(_to_bytes(dataset, sop), patient, name, said)

    def pseudonym(self, patient_id: str) -> str:
        """Return the pseudonym of a patient, 16 characters."""
        return f"P-{self._digest('patient', patient_id)[:14]}"

    def uid(self, original: str) -> str:
        """Return the pseudonym of a UID."""
        digest = hmac.digest(self._key, f"uid|{original}".encode(), "sha256")
        return f"2.25.{uuid.UUID(bytes=digest[:16], version=5).int}"

    def _digest(self, purpose: str, value: str) -> str:
        return hmac.new(self._key, f"{purpose}|{value}".encode(), "sha256").hexdigest()

    def _apply(self, dataset: Dataset) -> None:
        """Apply the rules to a data set and its remaining items."""
        from dicomanonymizer.simpledicomanonymizer import anonymize_dataset

        uids = [(element, element.value) for element in dataset if element.VR == "UI" and element.value]
        anonymize_dataset(dataset, base_rules_gen=lambda: dict(self._rules), delete_private_tags=True)
        for element, value in uids:  # the library's new UIDs are random
            if element.tag in dataset:
                dataset[element.tag].value = self._replace_uid(value)
        for element in list(dataset):
            if _may_hold_personal_data(element, dataset):
                del dataset[element.tag]
            elif element.VR == "SQ":
                for item in element.value:
                    self._apply(item)

    def _replace_uid(self, value: Any) -> Any:
        if isinstance(value, str):
            return value if value in UID_dictionary else self.uid(value)  # a UID of the standard stays
        return [self._replace_uid(str(one)) for one in value]


def read_key(file: Path) -> bytes:
    """Read a key file, creating it for its owner only when missing. Raises `UsageError` for another file."""
    if file.is_file():
        key = file.read_bytes()
        if len(key) != _KEY_BYTES:
            raise UsageError(f"Not a key file: {file.name}. Give a key of {_KEY_BYTES} bytes, or a new name.")
        return key
    key = secrets.token_bytes(_KEY_BYTES)
    with replacing(file) as temporary:
        temporary.touch(0o600)
        temporary.chmod(0o600)
        temporary.write_bytes(key)
    return key


def _delete_on_failure(action: Callable[..., None]) -> Callable[..., None]:
    """Wrap a rule so that an element for which the library has no dummy value is deleted."""

    def apply(dataset: Dataset, tag: tuple[int, int]) -> None:
        try:
            action(dataset, tag)
        except (NotImplementedError, ValueError, TypeError, AttributeError):
            if tag in dataset:
                del dataset[tag]

    return apply


def _may_hold_personal_data(element: DataElement, dataset: Dataset) -> bool:
    """Return whether an element that the profile keeps is free text, a date or unknown."""
    if element.tag.is_private or not element.keyword:
        return True
    if element.VR not in _TEXT_VRS or element.keyword in _KEPT_TEXT:
        return False
    return not (element.keyword in _CODE_TAGS and str(dataset.get("CodingSchemeDesignator")) in _STANDARD_SCHEMES)


def _record_method(dataset: Dataset) -> None:
    """Record the method (PS3.15 E.1, PS3.16 CID 7050)."""
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator = "113100", "DCM"
    code.CodeMeaning = "Basic Application Confidentiality Profile"
    dataset.PatientIdentityRemoved = "YES"
    dataset.DeidentificationMethod = "covid-xray: PS3.15 basic profile; pixels not looked at"
    dataset.DeidentificationMethodCodeSequence = [code]


def _to_bytes(dataset: Dataset, sop_uid: str) -> bytes:
    """Write the file with a new meta header; the old one names its sender."""
    syntax = dataset.file_meta.TransferSyntaxUID
    dataset.preamble = b"\0" * 128
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.SOPInstanceUID = UID(sop_uid)
    dataset.file_meta.MediaStorageSOPInstanceUID = UID(sop_uid)
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()
