"""Make de-identified copies of DICOM radiographs for research.

Applies the Basic Application Level Confidentiality Profile of PS3.15 by the actions that dicom-anonymizer lists for
table E.1-1 (edition 2026c), also in nested items, and none of its options. What the table does not list is kept only
where `retained_tags` has it. Pseudonyms depend on the identifier and a secret key. Text drawn into the pixels is not
removed.
"""

import hmac
import io
import secrets
import uuid
from collections.abc import Mapping
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
from covid_xray.pacs.copies.retained_tags import (
    ALWAYS,
    BINARY,
    NUMBERS,
    TERMS,
    TYPE_2,
    standard_codes,
    standard_meanings,
)
from covid_xray.pacs.phi_safe_logging import suppress_phi
from covid_xray.pacs.source_object import read_tags, require_frontal_chest

EDITION = "dicomfields_2026c"
_KEY_BYTES = 32
_NUMBER_VRS = frozenset({"DS", "FD", "FL", "IS", "SL", "SS", "UL", "US", "SV", "UV", "US or SS", "US or SS or OW"})
_CODE_TAGS = frozenset({"CodeValue", "CodingSchemeDesignator", "CodeMeaning"})
_UID_ACTIONS = ("replace_UID", "delete_or_empty_or_replace_UID")
_Tag = tuple[int, int]


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
        self._actions: Mapping[tuple[int, ...], str] = {
            tag: action.__name__ for tag, action in initialize_actions(EDITION).items()
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
            for keyword in ALWAYS:
                if keyword not in dataset:
                    setattr(dataset, keyword, None)
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
        """Apply the profile to a data set and the items that it keeps."""
        for element in list(dataset):
            action = self._actions.get((element.tag.group, element.tag.element))
            if element.VR == "UI" and (action in (None, *_UID_ACTIONS)):
                element.value = self._replace_uid(element.value) if element.value else element.value
            elif element.VR == "SQ" and (action in (None, *_UID_ACTIONS)) and element.keyword:
                self._apply_to_items(element, dataset)
            elif action or not _is_retained(element, dataset):
                _remove(element, dataset)

    def _apply_to_items(self, element: DataElement, dataset: Dataset) -> None:
        """Clean the items of a sequence; drop codes that are in no value set, and a sequence without items."""
        for item in element.value:
            self._apply(item)
        element.value = [item for item in element.value if len(item)]
        if not element.value:
            _remove(element, dataset)

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


def _is_retained(element: DataElement, dataset: Dataset) -> bool:
    """Return whether an element that the profile's table does not list is kept; terms are reduced to known ones."""
    keyword = element.keyword
    if keyword in _CODE_TAGS:
        return _set_standard_meaning(dataset)
    if keyword in TERMS:
        return _keep_terms(element)
    return keyword in BINARY or (keyword in NUMBERS and element.VR in _NUMBER_VRS)


def _set_standard_meaning(item: Dataset) -> bool:
    """Return whether the item's code is in a value set of PS3.16; a meaning that is in none is replaced."""
    meaning = standard_codes().get((str(item.get("CodingSchemeDesignator")), str(item.get("CodeValue"))))
    if meaning and item.get("CodeMeaning") not in standard_meanings():
        item.CodeMeaning = meaning
    return meaning is not None


def _keep_terms(element: DataElement) -> bool:
    """Keep the terms of the value set; a body part becomes CHEST, which was checked, and a view its first word."""
    values = [element.value] if isinstance(element.value, str) else list(element.value or ())
    terms = TERMS[element.keyword]
    if element.keyword == "BodyPartExamined":
        values = [value if value in terms else "CHEST" for value in values if value]
    elif element.keyword == "ViewPosition":
        values = [str(value).upper()[:2] for value in values]
    if element.keyword == "PatientOrientation" and not all(value in terms for value in values):
        return False
    kept = [value for value in values if value in terms]
    element.value = kept[0] if len(kept) == 1 else kept
    return bool(kept)


def _remove(element: DataElement, dataset: Dataset) -> None:
    """Remove an element, or empty it where the object needs it."""
    if element.keyword in TYPE_2:
        element.value = [] if element.VR == "SQ" else None
    else:
        del dataset[element.tag]


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
