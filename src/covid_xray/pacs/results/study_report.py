"""Join the reports of single images into one report a study, and convert it for archives that know no 3D reports."""

import copy
import io
from collections.abc import Sequence

import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import UID, Comprehensive3DSRStorage, ComprehensiveSRStorage

from covid_xray.pacs.results.references import ObjectReference, evidence, read_evidence
from covid_xray.pacs.results.result_context import derived_uid

_MEASUREMENTS = "126010"  # DCM, Imaging Measurements
_EVIDENCE = ("CurrentRequestedProcedureEvidenceSequence", "PertinentOtherEvidenceSequence")


def join_reports(parts: Sequence[bytes], *, predecessor: ObjectReference | None = None) -> Dataset:
    """Join the reports of the images of one study, in their order; UIDs are derived from theirs.

    A single report without a `predecessor`, the report that the new one replaces, stays as it is.
    """
    reports = [pydicom.dcmread(io.BytesIO(part)) for part in parts]
    made = copy.deepcopy(reports[0])
    if len(reports) == 1 and predecessor is None:
        return made
    for other in reports[1:]:
        _measurements(made).extend(_measurements(other))
    for keyword in _EVIDENCE:
        found = [one for report in reports for one in read_evidence(report.get(keyword) or [])]
        if found:
            setattr(made, keyword, evidence(list(dict.fromkeys(found))))
    if predecessor:
        made.PredecessorDocumentsSequence = evidence([predecessor])
    uid = derived_uid("report", *(str(one.SOPInstanceUID) for one in reports), predecessor.sop if predecessor else "")
    _rename(made, uid)
    made.SeriesInstanceUID = derived_uid(uid, "series")
    return made


def as_comprehensive(report: Dataset) -> Dataset:
    """Convert a Comprehensive 3D SR to a Comprehensive SR with a UID of its own; its content is the same."""
    made = copy.deepcopy(report)
    if made.SOPClassUID != Comprehensive3DSRStorage:
        return made
    made.SOPClassUID = made.file_meta.MediaStorageSOPClassUID = ComprehensiveSRStorage
    _rename(made, comprehensive_uid(str(report.SOPInstanceUID)))
    return made


def comprehensive_uid(report: str) -> str:
    """Derive the UID of the Comprehensive SR from that of the Comprehensive 3D SR that it is converted from."""
    return derived_uid(report, "comprehensive")


def _measurements(report: Dataset) -> list[Dataset]:
    for item in report.ContentSequence:
        if item.ConceptNameCodeSequence[0].CodeValue == _MEASUREMENTS:
            groups: list[Dataset] = item.ContentSequence
            return groups
    raise ValueError("Not a report of TID 1500.")


def _rename(report: Dataset, uid: str) -> None:
    report.SOPInstanceUID = UID(uid)
    if hasattr(report, "file_meta"):
        report.file_meta.MediaStorageSOPInstanceUID = UID(uid)
