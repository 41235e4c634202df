"""A DICOM radiograph and a key in, a de-identified copy for a research folder out.

The Basic Application Level Confidentiality Profile of PS3.15 by the rules of dicom-anonymizer (table E.1-1, edition
2026c), in nested items too; besides, every free text, date and private element that the profile leaves. Identifiers
become pseudonyms that are the same each time under one key, and that nobody finds out without it.

What is drawn into the pixels stays: a copy is never said to be clean of that.
"""

import hmac
import io
import secrets
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from covid_xray.errors import MissingPackage, UsageError
from covid_xray.files import replacing
from covid_xray.pacs.phi_safe_logging import quietly
from covid_xray.pacs.source_object import check_kind, read_tags

if TYPE_CHECKING:
    from pydicom.dataelem import DataElement
    from pydicom.dataset import Dataset

EDITION = "dicomfields_2026c"
_KEY_BYTES = 32
_TEXT = frozenset({"AE", "AS", "DA", "DT", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UN", "UR", "UT"})
# Text that has nothing of a person in it, or that the rules have replaced.
_KEPT = frozenset(
    {
        *("PatientID", "PatientName", "PatientBirthDate", "StudyDate", "StudyTime", "StudyID", "AccessionNumber"),
        *("ReferringPhysicianName", "DeidentificationMethod", "RescaleType", "PixelSpacingCalibrationDescription"),
    }
)
_CODES = frozenset({"CodeValue", "CodingSchemeDesignator", "CodingSchemeVersion", "CodeMeaning"})
_SCHEMES = frozenset({"SCT", "SRT", "99SDM", "SNM3", "DCM"})  # their meanings are words of the standard
_EMPTY = ("PatientBirthDate", "StudyDate", "StudyTime")  # the library's year 1 is no date for many programs


@dataclass(frozen=True)
class Copy:
    """A de-identified copy: the bytes of the file, and what it may be called.

    Args:
        data: a DICOM file.
        patient: the patient's pseudonym.
        name: of the file, from the pseudonym of its SOP Instance UID.
        burnt_in: what the object says of text in its pixels: `yes`, `no`, or `not said`. Nobody looked.
    """

    data: bytes
    patient: str
    name: str
    burnt_in: str


class Deidentifier:
    """Makes copies under one key. Thread-safe.

    Args:
        key: 32 bytes; who has it can tell which pseudonym is whose.

    Raises:
        MissingPackage: dicom-anonymizer is not installed.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key
        try:
            from dicomanonymizer.simpledicomanonymizer import initialize_actions
        except ModuleNotFoundError:
            raise MissingPackage('expected dicom-anonymizer to be installed: pip install "covid-xray[pacs]"') from None
        self._rules: dict[tuple[int, ...], Callable[..., None]] = {
            tag: _careful(action) for tag, action in initialize_actions(EDITION).items()
        }

    def copy(self, data: bytes) -> Copy:
        """The copy of a CR or DX file. Raises `BadImage`, or `NoResult` for other objects."""
        import pydicom

        tags = read_tags(data)
        check_kind(tags)
        patient, sop = self.pseudonym(tags.text("PatientID")), self.uid(tags.sop_uid)
        with quietly("an object that can be de-identified"):
            dataset = pydicom.dcmread(io.BytesIO(data))
            stated = str(dataset.get("BurnedInAnnotation") or "").upper()
            self._apply(dataset)
            dataset.PatientID = dataset.PatientName = patient
            for keyword in _EMPTY:
                setattr(dataset, keyword, "")
            _state(dataset)
            return Copy(
                _written(dataset, sop),
                patient,
                f"{self._digest('file', tags.sop_uid)[:16]}.dcm",
                {"YES": "yes", "NO": "no"}.get(stated, "not said"),
            )

    def pseudonym(self, patient_id: str) -> str:
        """What a patient is called; the same each time, 16 characters."""
        return f"P-{self._digest('patient', patient_id)[:14]}"

    def uid(self, original: str) -> str:
        """A UID that stands for another one, the same each time."""
        digest = hmac.digest(self._key, f"uid|{original}".encode(), "sha256")
        return f"2.25.{uuid.UUID(bytes=digest[:16], version=5).int}"

    def _digest(self, what: str, value: str) -> str:
        return hmac.new(self._key, f"{what}|{value}".encode(), "sha256").hexdigest()

    def _apply(self, dataset: "Dataset") -> None:
        """The rules on a data set and on the items that are left in it."""
        from dicomanonymizer.simpledicomanonymizer import anonymize_dataset

        uids = [(element, element.value) for element in dataset if element.VR == "UI" and element.value]
        anonymize_dataset(dataset, base_rules_gen=lambda: dict(self._rules), delete_private_tags=True)
        for element, value in uids:  # the library's are drawn by chance; ours are the same each time
            if element.tag in dataset:
                dataset[element.tag].value = self._replaced(value)
        for element in list(dataset):
            if _is_text_of_a_person(element, dataset):
                del dataset[element.tag]
            elif element.VR == "SQ":
                for item in element.value:
                    self._apply(item)

    def _replaced(self, value: Any) -> Any:
        from pydicom._uid_dict import UID_dictionary

        if isinstance(value, str):
            return value if value in UID_dictionary else self.uid(value)  # of the standard, such as a well-known frame
        return [self._replaced(str(one)) for one in value]


def read_key(file: Path) -> bytes:
    """The key of a file, which is made for its owner only when it is missing. Raises `UsageError` for another file."""
    if file.is_file():
        key = file.read_bytes()
        if len(key) != _KEY_BYTES:
            raise UsageError(f"expected a key of {_KEY_BYTES} bytes, as --deidentify makes it. Received: another file")
        return key
    key = secrets.token_bytes(_KEY_BYTES)
    with replacing(file) as temporary:
        temporary.touch(0o600)
        temporary.chmod(0o600)
        temporary.write_bytes(key)
    return key


def _careful(action: Callable[..., None]) -> Callable[..., None]:
    """The rule; what the library has no dummy value for is deleted."""

    def apply(dataset: "Dataset", tag: tuple[int, int]) -> None:
        try:
            action(dataset, tag)
        except (NotImplementedError, ValueError, TypeError, AttributeError):
            if tag in dataset:
                del dataset[tag]

    return apply


def _is_text_of_a_person(element: "DataElement", dataset: "Dataset") -> bool:
    """Whether an element that the profile left may hold words of a person: free text, dates, and what nobody knows."""
    if element.tag.is_private or not element.keyword:
        return True
    if element.VR not in _TEXT or element.keyword in _KEPT:
        return False
    return not (element.keyword in _CODES and str(dataset.get("CodingSchemeDesignator")) in _SCHEMES)


def _state(dataset: "Dataset") -> None:
    """Say what was done (PS3.15 E.1, PS3.16 CID 7050)."""
    from pydicom.dataset import Dataset

    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator = "113100", "DCM"
    code.CodeMeaning = "Basic Application Confidentiality Profile"
    dataset.PatientIdentityRemoved = "YES"
    dataset.DeidentificationMethod = "covid-xray: PS3.15 basic profile; pixels not looked at"
    dataset.DeidentificationMethodCodeSequence = [code]


def _written(dataset: "Dataset", sop_uid: str) -> bytes:
    """The file under a meta header of its own: the old one names its sender."""
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import UID

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
