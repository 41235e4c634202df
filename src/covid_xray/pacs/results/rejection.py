"""Make the Key Object rejection note of withdrawn results (IHE Imaging Object Change Management)."""

import copy

from highdicom import ko
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code
from pydicom.uid import ExplicitVRLittleEndian

from covid_xray.pacs.results.references import Withdrawal
from covid_xray.pacs.results.result_context import ResultContext
from covid_xray.pacs.results.structured_report import observer_context

QUALITY = Code("113001", "DCM", "Rejected for Quality Reasons")
PATIENT_SAFETY = Code("113037", "DCM", "Rejected for Patient Safety Reasons")


def rejection_note(result: ResultContext, withdrawal: Withdrawal, *, anew: bool = True) -> Dataset:
    """Make the note, in the study of the withdrawn results and with the patient as the corrected original states.

    Title: 113001 DCM for other pixels or tags, 113037 DCM for another patient. `anew`: the corrected original has
    results.
    """
    if withdrawal.patient_changed:
        title, words = PATIENT_SAFETY, "The original now belongs to another patient"
    else:
        title, words = QUALITY, "The original was corrected"
    words += "; results were made anew." if anew else " and is no frontal chest radiograph."
    common = result.common("ko")
    common["sop_instance_uid"] = result.uid("ko", *(one.sop for one in withdrawal.objects))
    common.pop("coding_schemes")
    objects = [_stand_in(result.reference, *vars(one).values()) for one in withdrawal.objects]
    content = ko.KeyObjectSelection(
        document_title=title,
        referenced_objects=objects,
        observer_device_context=observer_context(result),
        description=words,
    )
    return ko.KeyObjectSelectionDocument(
        evidence=objects, content=content, transfer_syntax_uid=ExplicitVRLittleEndian, **common
    )


def _stand_in(reference: Dataset, study: str, series: str, sop_class: str, sop: str) -> Dataset:
    """Make the tags of a withdrawn object that highdicom needs."""
    made = copy.deepcopy(reference)
    made.StudyInstanceUID, made.SeriesInstanceUID = study, series
    made.SOPClassUID, made.SOPInstanceUID = sop_class, sop
    return made
