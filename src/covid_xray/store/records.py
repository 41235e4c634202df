"""Define the records of the store (studies, feedback, audit entries) and convert them to and from database rows."""

import secrets
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from covid_xray.bundle.contents import OperatingPoints
from covid_xray.images.radiograph import ImageSource
from covid_xray.inference.finding import CANNOT_SAY, Finding, ModelIdentity
from covid_xray.inference.io.results import as_dict
from covid_xray.inference.lung_facts import in_words
from covid_xray.inference.lungs import WHOLE

Verdict = Literal["agree", "disagree", "correct"]
OTHER = "other"  # the label of a correction to another finding, or to none of the classes
NORMAL = "normal"


@dataclass(frozen=True)
class Upload:
    """An uploaded file: its name, a function that reads its bytes in a thread, and clinical values of the patient."""

    name: str
    read: Callable[[], bytes]
    known: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Key:
    """An `Idempotency-Key`: the SHA-256 of sender, route and key, and the SHA-256 of the body."""

    sha256: str
    body_sha256: str


@dataclass(frozen=True, eq=False)
class NewStudy:
    """A study to store; its image file exists already."""

    id: str  # from `new_id`
    name: str  # file name of the upload
    uploader: str  # name of the user
    upload_sha256: str  # of the uploaded bytes
    bytes: int  # size of the image file
    shape: tuple[int, int]  # height and width in pixels
    bits: int
    source: ImageSource
    finding: Finding  # with class maps
    thresholds: dict[str, dict[str, float]] | None = None  # class to operating point to probability, as of now
    key: Key | None = None  # another upload with this key gives this study
    job_item: tuple[str, int] | None = None  # id of the batch job, number in it
    address: str | None = None  # of the client, for the audit log
    study_uid: str | None = None
    sop_uid: str | None = None
    origin: str | None = None  # the PACS that sent it
    patient_key: str | None = None  # of `patient_key.py`


@dataclass(frozen=True, eq=False)
class Study:
    """A stored study.

    `finding` holds the keys of `inference.io.results.as_dict` and `thresholds` (class to operating point to
    probability, or `None`), `region` (the part the network saw: top, left, bottom, right as shares of the picture) and
    `lungs_in_words`.
    """

    id: str
    created: datetime
    name: str
    uploader: str
    upload_sha256: str
    bytes: int
    height: int
    width: int
    bits: int
    format: str
    view: str | None
    label: str
    suspicion: float
    finding: dict[str, Any]
    model: ModelIdentity
    verdict: Verdict | None
    study_uid: str | None
    sop_uid: str | None
    origin: str | None
    patient_key: str | None = None  # pseudonym of the patient
    spacing: list[float] | None = None  # mm between pixels: row, column

    @property
    def probabilities(self) -> dict[str, float | None]:
        """Class to calibrated probability; `None` where the network gave no number."""
        return dict(self.finding["probabilities"])


@dataclass(frozen=True)
class Feedback:
    """A reader's verdict on a study, with the network whose answer it is about."""

    id: int
    study_id: str
    created: datetime
    reader: str
    verdict: Verdict
    label: str | None
    note: str
    model: ModelIdentity
    answered: str | None = None  # label of the study at that time
    upload_sha256: str | None = None  # of the study's file


@dataclass(frozen=True)
class AuditEntry:
    """One line of the audit log.

    `what` is the id of a study or job, the name of a user or a route; `code` says why it was refused, `None` when it
    was done; `hash` covers this line and the one before it (`store.audit_chain`).
    """

    id: int
    created: datetime
    who: str
    action: str
    what: str | None
    address: str | None
    code: str | None
    hash: str


def new_id() -> str:
    """Create a random id of 32 hexadecimal digits."""
    return secrets.token_hex(16)


def now() -> datetime:
    """Return the current time in UTC."""
    return datetime.now(UTC)


def clean_text(text: str, *, longest: int = 4000) -> str:
    """Remove what a database refuses: control characters (but line breaks and tabs) and lone surrogates."""
    whole = text[:longest].encode("utf-8", errors="replace").decode("utf-8")
    return "".join(c if c.isprintable() or c in "\n\t" else " " for c in whole).strip()


def clean_name(name: str) -> str:
    """Clean a file name: one line of at most 200 characters, `image` when it is empty."""
    return clean_text(name.replace("\n", " ").replace("\t", " "), longest=200) or "image"


def suspicion(probabilities: Mapping[str, float | None]) -> float:
    """Compute the worklist priority, 0..1: the probability that the image is not normal.

    Without a class `normal` it is the largest probability; without numbers it is 1.
    """
    values = [value for value in probabilities.values() if value is not None]
    if len(values) < len(probabilities) or not values:
        return 1.0
    return 1.0 - values[list(probabilities).index(NORMAL)] if NORMAL in probabilities else max(values)


def thresholds(stored: Mapping[str, OperatingPoints] | None) -> dict[str, dict[str, float]] | None:
    """Extract class to operating point to threshold from `operating_points` of `bundle.json`; `None` without any."""
    return {
        name: {point: it.threshold for point, it in about.points.items() if it.threshold is not None}
        for name, about in (stored or {}).items()
    } or None


def study_row(new: NewStudy) -> dict[str, Any]:
    """Build the row of a new study."""
    finding = new.finding
    facts = as_dict(finding, identity=finding.model)
    stored = {key: value for key, value in facts.items() if key not in ("image", "model", "error")}
    stored |= {"thresholds": new.thresholds, "region": list(finding.region)}
    stored["lungs_in_words"] = in_words(finding.lungs, cropped=finding.region != WHOLE)
    copied = ("id", "uploader", "upload_sha256", "bytes", "bits", "study_uid", "sop_uid", "origin", "patient_key")
    return {
        **{name: getattr(new, name) for name in copied},
        "created": now(),
        "name": clean_name(new.name),
        "height": new.shape[0],
        "width": new.shape[1],
        "format": new.source.format,
        "view": clean_text(new.source.view, longest=16) if new.source.view else None,
        "spacing": list(new.source.spacing) if new.source.spacing else None,
        "label": finding.label,
        "unsaid": finding.label == CANNOT_SAY,
        "suspicion": suspicion(facts["probabilities"]),
        "finding": stored,
        **pack_maps(finding.class_maps),
        **model_columns(finding.model),
    }


def pack_maps(maps: NDArray[np.float32] | None) -> dict[str, Any]:
    """Compress C x h x w class maps to 256 levels below each map's peak, which is as fine as the colours shown."""
    if maps is None:
        raise ValueError("The finding has no class maps. Ask the predictor for class_maps=True.")
    known = np.where(np.isfinite(maps).all(axis=(1, 2), keepdims=True), maps, 0.0)
    peaks = known.max(axis=(1, 2), initial=0.0)
    levels = np.rint(255 * known / np.maximum(peaks, 1e-30)[:, None, None]).astype(np.uint8)
    about = {"shape": list(maps.shape), "peaks": [float(peak) for peak in peaks]}
    return {"class_maps": zlib.compress(levels.tobytes(), 1), "class_maps_about": about}


def unpack_maps(data: bytes, about: Mapping[str, Any]) -> NDArray[np.float32]:
    """Restore the class maps of `pack_maps`."""
    levels = np.frombuffer(zlib.decompress(data), np.uint8).reshape(about["shape"])
    return (levels / 255 * np.array(about["peaks"])[:, None, None]).astype(np.float32)


def as_study(row: Mapping[Any, Any]) -> Study:
    """Convert a database row to a `Study`."""
    return Study(**_columns_of(Study, row), model=_model(row))


def as_feedback(row: Mapping[Any, Any]) -> Feedback:
    """Convert a database row to a `Feedback`."""
    return Feedback(**_columns_of(Feedback, row), model=_model(row))


def model_columns(model: ModelIdentity) -> dict[str, str]:
    """Build the columns that name the network that answered."""
    return {"model_name": model.name, "model_version": model.version, "model_sha256": model.sha256}


def _columns_of(kind: type[Study | Feedback], row: Mapping[Any, Any]) -> dict[str, Any]:
    return {field.name: row[field.name] for field in fields(kind) if field.name != "model"}


def _model(row: Mapping[Any, Any]) -> ModelIdentity:
    return ModelIdentity(row["model_name"], row["model_version"], row["model_sha256"])
