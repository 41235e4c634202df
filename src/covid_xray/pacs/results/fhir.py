"""Write a result as FHIR: a transaction Bundle with an Observation and the DiagnosticReport that refers to it.

Patient, device and ImagingStudy are referred to by their identifiers: they belong to other systems. Both resources are
created only where none with their identifier exists, so sending them twice changes nothing. R4 is written with the
models of R4B, which are the same for these resources.
"""

import json
import uuid
from typing import Any

from pydicom.sr.coding import Code

from covid_xray.inference.finding import CANNOT_SAY
from covid_xray.inference.heatmap import DISCLAIMER
from covid_xray.pacs.results.codes import PROCEDURE, SCHEME, probability_code
from covid_xray.pacs.results.result_context import MANUFACTURER, ResultContext, device_uid
from covid_xray.pacs.source_object import study_moment

_SYSTEMS = {
    "SCT": "http://snomed.info/sct",
    "DCM": "http://dicom.nema.org/resources/ontology/DCM",
    SCHEME: "https://covid-xray.invalid/codes",
}
_URI, _UCUM = "urn:ietf:rfc:3986", "http://unitsofmeasure.org"
_TERMS = "http://terminology.hl7.org/CodeSystem/"
_FINDING = Code("121071", "DCM", "Finding")
_SET = Code("prediction-set", SCHEME, "Member of the prediction set")
_NO_DATE = "19000101"  # of `study_moment`


def bundle(result: ResultContext, *, release: str) -> bytes:
    """Write the result of an image as JSON of a FHIR release, `R4` or `R5`."""
    models = _models(release)
    observation = _entry(models["Observation"](**_observation(result)), result)
    report = _entry(models["DiagnosticReport"](**_report(result, observation["fullUrl"], release)), result)
    made = models["Bundle"](type="transaction", entry=[observation, report])
    return json.dumps(json.loads(made.model_dump_json()), indent=1, ensure_ascii=False).encode()


def _models(release: str) -> dict[str, Any]:
    if release == "R5":
        from fhir.resources import bundle as bundles
        from fhir.resources import diagnosticreport, observation
    else:
        from fhir.resources.R4B import bundle as bundles
        from fhir.resources.R4B import diagnosticreport, observation
    return {
        "Bundle": bundles.Bundle,
        "DiagnosticReport": diagnosticreport.DiagnosticReport,
        "Observation": observation.Observation,
    }


def _entry(resource: Any, result: ResultContext) -> dict[str, Any]:
    kind = resource.get_resource_type()
    search = f"identifier={_URI}|{_identifier(result, kind)['value']}"
    return {
        "fullUrl": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, result.uid(kind))}",
        "resource": resource,
        "request": {"method": "POST", "url": kind, "ifNoneExist": search},
    }


def _observation(result: ResultContext) -> dict[str, Any]:
    texts = [*result.reasons, *_remarks(result)]
    made = {
        **_shared(result, "Observation"),
        "code": _concept(_FINDING),
        "note": [{"text": text} for text in texts],
        "device": {
            "type": "Device",
            "identifier": {"system": _URI, "value": f"urn:oid:{device_uid(result.finding.model.sha256)}"},
            "display": f"{MANUFACTURER}: {result.model}",
        },
        "method": {"text": f"{result.model}, SHA-256 {result.finding.model.sha256}"},
        "derivedFrom": [_study(result)],
    }
    if not result.has_answer:
        code = "not-performed" if result.refusal else "unknown"
        coding = {"system": f"{_TERMS}data-absent-reason", "code": code}
        return {**made, "dataAbsentReason": {"coding": [coding], "text": result.statement}}
    return {**made, "valueCodeableConcept": _concept(result.code(result.shown)), "component": _components(result)}


def _components(result: ResultContext) -> list[dict[str, Any]]:
    """Return the rounded probabilities and the members of the prediction set."""
    unit = {"unit": "1", "system": _UCUM, "code": "1"}
    chances = [
        {"code": _concept(probability_code(name)), "valueQuantity": {"value": value, **unit}}
        for name, value in result.probabilities.items()
    ]
    members = [
        {"code": _concept(_SET), "valueCodeableConcept": _concept(result.code(name))} for name in result.prediction_set
    ]
    return [*chances, *members]


def _report(result: ResultContext, observation: str, release: str) -> dict[str, Any]:
    code = result.code(result.shown) if result.has_answer else result.code(result.label)
    conclusion = _concept(code)
    study = {"study": [_study(result)]} if release == "R5" else {"imagingStudy": [_study(result)]}
    return {
        **_shared(result, "DiagnosticReport"),
        **study,
        "code": _concept(PROCEDURE),
        "result": [{"reference": observation}],
        "conclusion": ". ".join([result.statement, *_remarks(result)]),
        "conclusionCode": [conclusion],
    }


def _shared(result: ResultContext, kind: str) -> dict[str, Any]:
    """Return what both resources have: identifier, status, category, patient and date."""
    category = {"system": f"{_TERMS}v2-0074", "code": "RAD", "display": "Radiology"}
    if kind == "Observation":
        category = {"system": f"{_TERMS}observation-category", "code": "imaging", "display": "Imaging"}
    made = {
        "identifier": [_identifier(result, kind)],
        "status": "preliminary",  # no person has reviewed it
        "category": [{"coding": [category]}],
        "subject": _patient(result),
    }
    date, _ = study_moment(result.original.tags)
    return made if date == _NO_DATE else {**made, "effectiveDateTime": f"{date[:4]}-{date[4:6]}-{date[6:8]}"}


def _identifier(result: ResultContext, kind: str) -> dict[str, str]:
    return {"system": _URI, "value": f"urn:oid:{result.uid(kind)}"}


def _patient(result: ResultContext) -> dict[str, Any]:
    tags = result.original.tags
    number, issuer = tags.text("PatientID"), tags.text("IssuerOfPatientID")
    if not number:
        return {"type": "Patient", "display": "not said in the image"}
    return {"type": "Patient", "identifier": {"value": number, **({"assigner": {"display": issuer}} if issuer else {})}}


def _study(result: ResultContext) -> dict[str, Any]:
    identifier = {"system": "urn:dicom:uid", "value": f"urn:oid:{result.original.tags.study_uid}"}
    return {"type": "ImagingStudy", "identifier": identifier}


def _remarks(result: ResultContext) -> list[str]:
    return [text for text in (*result.finding.notes, result.scope, result.site, DISCLAIMER) if text]


def _concept(code: Code) -> dict[str, Any]:
    coding = {"system": _SYSTEMS[code.scheme_designator], "code": code.value, "display": code.meaning}
    return {"coding": [coding], "text": CANNOT_SAY if code.meaning == "Indeterminate" else code.meaning}
