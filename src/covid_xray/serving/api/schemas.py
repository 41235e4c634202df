"""What goes over the wire, each with an example that a test holds against its schema."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import pydantic

from covid_xray.inference.heatmap import DISCLAIMER
from covid_xray.store.records import Feedback, Study, Verdict

_ID = "3f2a9c0d5b8e4f6a8c1d2e3f4a5b6c7d"
_SHA256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
_TIME = "2026-11-25T08:15:30Z"
_MODEL = {"name": "covid-xray", "version": "1", "sha256": _SHA256}
_STUDY = {
    "id": _ID,
    "created": _TIME,
    "name": "chest.png",
    "uploader": "local",
    "label": "covid",
    "probabilities": {"covid": 0.91, "normal": 0.06, "virus": 0.03},
    "reasons": [],
    "prediction_set": ["covid"],
    "gate": None,
    "operating_points": {"covid": {"rule-out": True, "balanced": True, "rule-in": False}},
    "thresholds": {"covid": {"rule-out": 0.12, "balanced": 0.5, "rule-in": 0.93}},
    "lungs": None,
    "joint": None,
    "region": [0.0, 0.0, 1.0, 1.0],
    "suspicion": 0.94,
    "model": _MODEL,
    "image": {"height": 1024, "width": 880, "bits": 8, "format": "PNG", "view": None},
    "upload_sha256": _SHA256,
    "verdict": None,
    "study_uid": None,
    "sop_uid": None,
    "origin": None,
    "disclaimer": DISCLAIMER,
}
_PROBLEM = {
    "type": "urn:covid-xray:problem:not-an-image",
    "title": "Unprocessable Entity",
    "status": 422,
    "detail": "expected PNG, JPEG or DICOM. Received: other bytes",
    "code": "not-an-image",
}


def _example(value: Any) -> pydantic.ConfigDict:
    return pydantic.ConfigDict(json_schema_extra={"examples": [value]}, from_attributes=True)


class ModelOut(pydantic.BaseModel):
    """The network that answered."""

    model_config = _example(_MODEL)

    name: str
    version: str
    sha256: str


class ImageOut(pydantic.BaseModel):
    """The stored image."""

    height: int
    width: int
    bits: int
    format: str
    view: str | None


class StudyOut(pydantic.BaseModel):
    """One upload and the answer to it."""

    model_config = _example(_STUDY)

    id: str
    created: datetime
    name: str = pydantic.Field(description="Name of the uploaded file.")
    uploader: str
    label: str = pydantic.Field(description="The most probable class, or `cannot say` when there are reasons.")
    probabilities: dict[str, float | None] = pydantic.Field(description="Calibrated; in the order of the network.")
    reasons: list[str] = pydantic.Field(description="Why the answer is `cannot say`.")
    prediction_set: list[str] | None = pydantic.Field(description="Classes that conformal prediction keeps.")
    gate: dict[str, Any] | None = pydantic.Field(
        description="Is it a frontal chest radiograph, like those of training?"
    )
    operating_points: dict[str, dict[str, bool]] | None = pydantic.Field(description="Which thresholds are reached.")
    thresholds: dict[str, dict[str, float]] | None = pydantic.Field(description="The thresholds of that time.")
    lungs: dict[str, Any] | None = pydantic.Field(description="Where they are, and the share of the heat inside.")
    joint: dict[str, Any] | None = pydantic.Field(
        description="The answer from the image and what is known of the patient, and how far each field moved it."
    )
    region: list[float] = pydantic.Field(description="What the network saw: top, left, bottom, right, 0..1.")
    suspicion: float = pydantic.Field(description="How much it wants to be looked at, 0..1: not normal.")
    model: ModelOut
    image: ImageOut
    upload_sha256: str
    verdict: Verdict | None = pydantic.Field(description="Of the newest feedback.")
    study_uid: str | None
    sop_uid: str | None
    origin: str | None
    disclaimer: str = DISCLAIMER


class StudyPage(pydantic.BaseModel):
    """Some of the studies that were asked for."""

    model_config = _example({"total": 1, "limit": 50, "offset": 0, "studies": [_STUDY]})

    total: int
    limit: int
    offset: int
    studies: list[StudyOut]


class FeedbackIn(pydantic.BaseModel):
    """What a reader says of a study: agree, disagree, or correct with the right label."""

    model_config = pydantic.ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"verdict": "correct", "label": "normal", "note": "scar, known since 2019"}]},
    )

    verdict: Verdict
    label: Annotated[str, pydantic.Field(min_length=1, max_length=64)] | None = None
    note: str = pydantic.Field("", max_length=4000)


class FeedbackOut(pydantic.BaseModel):
    """Feedback as it is kept, with the network that it is about."""

    model_config = _example(
        {
            "id": 1,
            "study_id": _ID,
            "created": _TIME,
            "reader": "local",
            "verdict": "correct",
            "label": "normal",
            "note": "scar, known since 2019",
            "model": _MODEL,
        }
    )

    id: int
    study_id: str
    created: datetime
    reader: str
    verdict: Verdict
    label: str | None
    note: str
    model: ModelOut


class ItemOut(pydantic.BaseModel):
    """One image of a batch: a study, a refusal with its code, or neither yet."""

    model_config = pydantic.ConfigDict(from_attributes=True)

    number: int
    name: str
    study_id: str | None
    code: str | None
    message: str | None


class JobOut(pydantic.BaseModel):
    """A batch: accepted and on disk, then worked off."""

    model_config = _example(
        {
            "id": _ID,
            "created": _TIME,
            "finished": _TIME,
            "state": "done",
            "total": 2,
            "answered": 1,
            "failed": 1,
            "items": [
                {"number": 0, "name": "a.png", "study_id": _ID, "code": None, "message": None},
                {
                    "number": 1,
                    "name": "b.txt",
                    "study_id": None,
                    "code": "not-an-image",
                    "message": "expected PNG, JPEG or DICOM. Received: other bytes",
                },
            ],
        }
    )

    id: str
    created: datetime
    finished: datetime | None
    state: Literal["running", "done"]
    total: int
    answered: int
    failed: int
    items: list[ItemOut]


class BundleOut(pydantic.BaseModel):
    """The network that answers now, and what is known of it."""

    model_config = _example(
        {
            **_MODEL,
            "classes": ["covid", "normal", "virus"],
            "input": {"height": 224, "width": 224},
            "engine": "onnxruntime 1.22.0",
            "precision": "float32",
            "temperature": 1.3,
            "thresholds": {"covid": {"balanced": 0.5}},
            "facts": {},
            "disclaimer": DISCLAIMER,
        }
    )

    name: str
    version: str
    sha256: str
    classes: list[str]
    input: dict[str, int]
    engine: str
    precision: str
    temperature: float
    thresholds: dict[str, dict[str, float]] | None
    facts: dict[str, Any] = pydantic.Field(description="Training data, metrics and so on, of bundle.json.")
    disclaimer: str = DISCLAIMER


class AuditOut(pydantic.BaseModel):
    """Who did what, when, to which study, job or user."""

    model_config = _example({"created": _TIME, "who": "local", "action": "view", "what": _ID})

    created: datetime
    who: str
    action: str
    what: str | None


class Problem(pydantic.BaseModel):
    """RFC 9457 problem details; `code` is stable."""

    model_config = pydantic.ConfigDict(json_schema_extra=_example(_PROBLEM)["json_schema_extra"], extra="allow")

    type: str
    title: str
    status: int
    detail: str
    code: str


class Health(pydantic.BaseModel):
    """Whether the server lives, and whether it can answer."""

    model_config = _example({"status": "ok", "checks": {"database": "ok", "store": "ok"}})

    status: Literal["ok", "not ready"]
    checks: dict[str, str] = {}


def study_out(study: Study) -> StudyOut:
    """A study for the wire."""
    plain = ("id", "created", "name", "uploader", "label", "suspicion", "upload_sha256", "verdict")
    told = (
        "probabilities",
        "reasons",
        "prediction_set",
        "gate",
        "operating_points",
        "thresholds",
        "lungs",
        "joint",
        "region",
    )
    image = ImageOut(height=study.height, width=study.width, bits=study.bits, format=study.format, view=study.view)
    return StudyOut(
        **{name: getattr(study, name) for name in (*plain, "study_uid", "sop_uid", "origin")},
        **{name: study.finding.get(name) for name in told},
        model=ModelOut.model_validate(study.model),
        image=image,
    )


def feedback_out(feedback: Feedback) -> FeedbackOut:
    """Feedback for the wire."""
    return FeedbackOut.model_validate(feedback)


def utc(value: datetime | None) -> datetime | None:
    """A time of a query; without a zone it is taken for UTC."""
    return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value
