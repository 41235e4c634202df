"""Write a result as an HL7 v2.5.1 message ORU^R01 (unsolicited observation), as reporting systems take it by MLLP."""

from collections.abc import Iterable, Iterator

from pydicom.sr.coding import Code
from pydicom.valuerep import PersonName

from covid_xray import __version__
from covid_xray.inference.heatmap import DISCLAIMER
from covid_xray.pacs.results.codes import PROCEDURE, SCHEME, private_code, probability_code
from covid_xray.pacs.results.result_context import MANUFACTURER, ResultContext, derived_uid
from covid_xray.pacs.source_object import study_moment

_ESCAPES = {"\\": "\\E\\", "|": "\\F\\", "^": "\\S\\", "&": "\\T\\", "~": "\\R\\", "\r": " ", "\n": " "}
_FINDING = Code("121071", "DCM", "Finding")
_STUDY = Code("113014", "DCM", "DICOM Study")
_COMMENT = Code("121106", "DCM", "Comment")
_PRELIMINARY = "P"  # no person has reviewed it
_NO_DATE = "19000101"  # of `study_moment`


def message(result: ResultContext) -> bytes:
    """Write the result of an image as a message, with the time of the study as its time, so that it is reproducible."""
    segments = [_header(result), _patient(result), _request(result)]
    rows = enumerate(_observations(result), start=1)
    segments += [_segment("OBX", number, *fields) for number, fields in rows]
    return "".join(f"{segment}\r" for segment in segments).encode()


def escape(text: str) -> str:
    """Escape the characters that have a meaning in HL7 v2 (2.7.1)."""
    return "".join(_ESCAPES.get(letter, letter) for letter in text)


def _header(result: ResultContext) -> str:
    control = derived_uid("message", result.digest)[5:25]  # 20 characters
    fields = (MANUFACTURER, "", "", "", _moment(result), "", "ORU^R01^ORU_R01", control, "P", "2.5.1")
    return _segment("MSH|^~\\&", *fields, *[""] * 5, "UNICODE UTF-8")


def _patient(result: ResultContext) -> str:
    tags = result.original.tags
    name = PersonName(tags.text("PatientName"))
    birth, sex = result.reference.PatientBirthDate, result.reference.PatientSex
    number = f"{escape(tags.text('PatientID'))}^^^{escape(tags.text('IssuerOfPatientID'))}".rstrip("^")
    names = f"{escape(name.family_name)}^{escape(name.given_name)}^{escape(name.middle_name)}".rstrip("^")
    return _segment("PID", "1", "", number, "", names, "", str(birth or ""), sex or "")


def _request(result: ResultContext) -> str:
    accession = escape(result.original.tags.text("AccessionNumber"))
    report = derived_uid("report", result.digest)[5:27]
    moment = _moment(result)
    before = ("1", accession, report, _coded(PROCEDURE), "", "", moment)
    return _segment("OBR", *before, *[""] * 14, moment, "", "RAD", _PRELIMINARY)


def _observations(result: ResultContext) -> Iterator[tuple[str, ...]]:
    """Yield the fields of each OBX: the study, the finding with its numbers where there is an answer, and remarks."""
    yield _row("ST", _STUDY, result.original.tags.study_uid)
    yield _row("CWE", _FINDING, _coded(result.code(result.shown if result.has_answer else result.label)))
    for name, value in result.probabilities.items():
        yield _row("NM", probability_code(name), f"{value:g}", unit="1^no units^UCUM")
    for name in result.prediction_set:
        yield _row(
            "CWE", private_code("prediction-set", meaning="Member of the prediction set"), _coded(result.code(name))
        )
    for reason in result.reasons:
        yield _row("TX", private_code("reason", meaning="Reason why nothing can be said"), escape(reason))
    for text in _remarks(result):
        yield _row("TX", _COMMENT, escape(text))


def _remarks(result: ResultContext) -> Iterable[str]:
    used = f"{MANUFACTURER} {__version__}, {result.model}, SHA-256 {result.finding.model.sha256}"
    return [text for text in (*result.finding.notes, result.scope, result.site, used, DISCLAIMER) if text]


def _row(kind: str, code: Code, value: str, *, unit: str = "") -> tuple[str, ...]:
    return (kind, _coded(code), "", value, unit, "", "", "", "", _PRELIMINARY)


def _coded(code: Code) -> str:
    scheme = "L" if code.scheme_designator == SCHEME else code.scheme_designator  # L: a local coding scheme
    return f"{escape(code.value)}^{escape(code.meaning)}^{scheme}"


def _moment(result: ResultContext) -> str:
    date, time = study_moment(result.original.tags)
    return "" if date == _NO_DATE else f"{date}{time[:6]}"


def _segment(*fields: object) -> str:
    return "|".join(map(str, fields)).rstrip("|")
