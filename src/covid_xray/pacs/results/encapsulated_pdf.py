"""Make an Encapsulated PDF: a page to print with the picture, the finding and its figures."""

import io

from highdicom.base import SOPClass
from pydicom.dataset import Dataset
from pydicom.uid import EncapsulatedPDFStorage, ExplicitVRLittleEndian

from covid_xray.errors import MissingPackage
from covid_xray.inference.heatmap import DISCLAIMER
from covid_xray.pacs.results.capture import render
from covid_xray.pacs.results.references import ObjectReference
from covid_xray.pacs.results.result_context import ResultContext

_WIDTH, _LONGEST = 440.0, 1200  # points of the picture on the page; pixels of its longer side
_TITLE = "Chest radiograph: finding of a network, not a diagnosis"


def encapsulated_pdf(result: ResultContext) -> Dataset:
    """Make the document. Raises `MissingPackage` without reportlab."""
    reference = result.reference
    common = result.common("pdf")
    made = SOPClass(
        study_instance_uid=reference.StudyInstanceUID,
        sop_class_uid=EncapsulatedPDFStorage,
        modality="DOC",
        transfer_syntax_uid=ExplicitVRLittleEndian,
        patient_id=reference.PatientID,
        patient_name=reference.PatientName,
        patient_birth_date=reference.PatientBirthDate,
        patient_sex=reference.PatientSex,
        accession_number=reference.AccessionNumber,
        study_id=reference.StudyID,
        study_date=reference.StudyDate,
        study_time=reference.StudyTime,
        referring_physician_name=reference.ReferringPhysicianName,
        **{name: value for name, value in common.items() if name != "contributing_equipment"},
    )
    made.ContributingEquipmentSequence = common["contributing_equipment"]
    _describe(made, result)
    page = render_page(result)
    made.EncapsulatedDocument = page + b"\0" * (len(page) % 2)
    made.EncapsulatedDocumentLength = len(page)
    return made


def render_page(result: ResultContext) -> bytes:
    """Write the page, A4; the same result gives the same bytes. Raises `MissingPackage` without reportlab."""
    try:
        from reportlab.lib.pagesizes import A4
        from reportlab.lib.styles import getSampleStyleSheet
        from reportlab.platypus import Image, Paragraph, SimpleDocTemplate, Spacer
    except ModuleNotFoundError:
        raise MissingPackage('reportlab is not installed. Run: pip install "covid-xray[pacs]"') from None
    picture, styles, stream = io.BytesIO(), getSampleStyleSheet(), io.BytesIO()
    render(result, max_side=_LONGEST).save(picture, "PNG")
    story = [Paragraph(_latin(result.statement), styles["Title"])]
    story += [Image(picture, width=_WIDTH, height=_WIDTH, kind="proportional"), Spacer(0, 10)]
    story += [Paragraph(_latin(line), styles["Normal"]) for line in _lines(result)]
    document = SimpleDocTemplate(stream, pagesize=A4, invariant=1, title=_TITLE, author="covid-xray", lang="en")
    document.build(story)
    return stream.getvalue()


def _lines(result: ResultContext) -> list[str]:
    tags = result.original.tags
    whose = ", ".join(filter(None, (tags.text(name) for name in ("PatientID", "StudyDate", "AccessionNumber"))))
    figures = [f"Calibrated probability of {name}: {value:g}" for name, value in result.probabilities.items()]
    kept = [f"Prediction set: {', '.join(result.prediction_set)}"] if result.prediction_set else []
    return [whose, *figures, *kept, result.scope, result.site, result.model, DISCLAIMER]


def _latin(text: str) -> str:
    """Escape markup; the standard fonts of PDF have Latin letters only, others become question marks."""
    return text.encode("latin-1", "replace").decode("latin-1").replace("&", "&amp;").replace("<", "&lt;")


def _describe(made: Dataset, result: ResultContext) -> None:
    made.ConversionType, made.BurnedInAnnotation = "WSD", "YES"
    made.RecognizableVisualFeatures = "NO"
    made.AcquisitionDateTime, made.ConceptNameCodeSequence = None, []
    made.DocumentTitle, made.MIMETypeOfEncapsulatedDocument = _TITLE, "application/pdf"
    source, original = Dataset(), ObjectReference.to(result.reference)
    source.ReferencedSOPClassUID, source.ReferencedSOPInstanceUID = original.sop_class, original.sop
    made.SourceInstanceSequence = [source]
