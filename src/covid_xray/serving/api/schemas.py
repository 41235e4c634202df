"""Define the JSON bodies of the API, each with an example that a test validates."""

from datetime import datetime
from typing import Annotated, Any, Literal

import pydantic

from covid_xray.images.decode import FORMATS
from covid_xray.inference.heatmap import DISCLAIMER
from covid_xray.store.records import Study, Verdict

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
    "ill": 0.94,
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
    "site": {"name": "St. Elsewhere", "verdict": "fit", "sha256": _SHA256},
    "image": {"height": 1024, "width": 880, "bits": 8, "format": "PNG", "view": None},
    "upload_sha256": _SHA256,
    "verdict": None,
    "study_uid": None,
    "sop_uid": None,
    "origin": None,
    "disclaimer": DISCLAIMER,
}
_REFUSAL = {"code": "not-an-image", "message": f"Not an image file. Give a {FORMATS} file."}
_ITEMS = [
    {"number": 0, "name": "a.png", "study_id": _ID, "code": None, "message": None},
    {"number": 1, "name": "b.txt", "study_id": None, **_REFUSAL},
]
_PROBLEM = {
    "type": "urn:covid-xray:problem:not-an-image",
    "title": "Unprocessable Entity",
    "status": 422,
    "detail": _REFUSAL["message"],
    "code": _REFUSAL["code"],
}


def example(value: Any, *, extra: Literal["allow", "forbid", "ignore"] = "ignore") -> pydantic.ConfigDict:
    """Configure a model with an example, to be filled from attributes."""
    return pydantic.ConfigDict(json_schema_extra={"examples": [value]}, from_attributes=True, extra=extra)


class ModelOut(pydantic.BaseModel):
    """The network that classified the image."""

    model_config = example(_MODEL)

    name: str
    version: str
    sha256: str


class ImageOut(pydantic.BaseModel):
    """The stored image."""

    model_config = pydantic.ConfigDict(from_attributes=True)

    height: int
    width: int
    bits: int
    format: str
    view: str | None


class StudyOut(pydantic.BaseModel):
    """One uploaded image and its classification."""

    model_config = example(_STUDY)

    id: str
    created: datetime
    name: str = pydantic.Field(description="File name of the upload.")
    uploader: str
    label: str = pydantic.Field(description="The most probable class, or `cannot say`.")
    probabilities: dict[str, float | None] = pydantic.Field(description="Calibrated probabilities.")
    ill: float | None = pydantic.Field(description="Probability that the lungs are ill; two-step networks only.")
    reasons: list[str] = pydantic.Field(description="Why the label is `cannot say`.")
    prediction_set: list[str] | None = pydantic.Field(description="Conformal prediction set.")
    gate: dict[str, Any] | None = pydantic.Field(description="The checks of the input, by name.")
    operating_points: dict[str, dict[str, bool]] | None = pydantic.Field(description="Thresholds reached, by class.")
    thresholds: dict[str, dict[str, float]] | None = pydantic.Field(description="Thresholds at that time.")
    lungs: dict[str, Any] | None = pydantic.Field(description="Position of the lungs, share of the heat map inside.")
    joint: dict[str, Any] | None = pydantic.Field(description="The answer with clinical values, if some were given.")
    site: dict[str, str] | None = pydantic.Field(
        description="Where the network was checked: name, verdict, sha256; null where it was not checked."
    )
    region: list[float] = pydantic.Field(
        description="Part of the image seen: top, left, bottom, right, 0..1.", min_length=4, max_length=4
    )
    suspicion: float = pydantic.Field(description="Worklist priority, 0..1: probability that it is not normal.")
    model: ModelOut
    image: ImageOut
    upload_sha256: str
    verdict: Verdict | None = pydantic.Field(description="Verdict of the newest feedback.")
    study_uid: str | None
    sop_uid: str | None
    origin: str | None
    disclaimer: str = DISCLAIMER


class StudyPage(pydantic.BaseModel):
    """One page of the studies that match a query."""

    model_config = example({"total": 1, "limit": 50, "offset": 0, "studies": [_STUDY], "next": None})

    total: int
    limit: int
    offset: int
    studies: list[StudyOut]
    next: str | None = pydantic.Field(None, description="Cursor of the next page; null on the last one.")


class FeedbackIn(pydantic.BaseModel):
    """A verdict on a study: `agree`, `disagree`, or `correct` with the right label."""

    model_config = example({"verdict": "correct", "label": "normal", "note": "scar, known since 2019"}, extra="forbid")

    verdict: Verdict
    label: Annotated[str, pydantic.Field(min_length=1, max_length=64)] | None = None
    note: str = pydantic.Field("", max_length=4000)


class FeedbackOut(pydantic.BaseModel):
    """Stored feedback, with the network that it is about."""

    model_config = example(
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
    """One image of a batch: a study, a refusal with its code, or not processed yet."""

    model_config = pydantic.ConfigDict(from_attributes=True)

    number: int
    name: str
    study_id: str | None
    code: str | None
    message: str | None


class JobOut(pydantic.BaseModel):
    """A batch and its progress."""

    model_config = example(
        {
            "id": _ID,
            "created": _TIME,
            "finished": _TIME,
            "state": "done",
            "total": 2,
            "answered": 1,
            "failed": 1,
            "items": _ITEMS,
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
    """The loaded network and its bundle."""

    model_config = example(
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
    facts: dict[str, Any] = pydantic.Field(description="Further facts of bundle.json: training data, metrics.")
    disclaimer: str = DISCLAIMER


class AuditOut(pydantic.BaseModel):
    """One line of the audit log; `what` is the id of a study, job or token, a user name or a route."""

    model_config = example(
        {
            "id": 17,
            "created": _TIME,
            "who": "reader",
            "action": "view",
            "what": _ID,
            "address": "192.0.2.7",
            "code": None,
            "hash": _SHA256,
        }
    )

    id: int
    created: datetime
    who: str
    action: str
    what: str | None
    address: str | None = pydantic.Field(description="Of the client; null for commands and for the server itself.")
    code: str | None = pydantic.Field(description="Why it was refused; null when it was done.")
    hash: str = pydantic.Field(description="Covers this line and the hash of the line before it.")


class Problem(pydantic.BaseModel):
    """RFC 9457 problem details. Programs may rely on `code`."""

    model_config = example(_PROBLEM, extra="allow")

    type: str
    title: str
    status: int
    detail: str
    code: str


class Health(pydantic.BaseModel):
    """State of the server and of its parts."""

    model_config = example({"status": "ok", "checks": {"database": "ok", "store": "ok"}})

    status: Literal["ok", "not ready"]
    checks: dict[str, str] = {}


def study_out(study: Study) -> StudyOut:
    """Convert a study to its JSON form."""
    values = study.finding | vars(study)
    copied = {name: values.get(name) for name in StudyOut.model_fields if name not in ("model", "image", "disclaimer")}
    return StudyOut(**copied, model=ModelOut.model_validate(study.model), image=ImageOut.model_validate(study))
