"""What the store takes and gives: studies, feedback, lines of the audit log; and their rows in the database."""

import secrets
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from covid_xray.images.radiograph import ImageSource
from covid_xray.inference.finding import Finding, ModelIdentity
from covid_xray.inference.io.results import as_dict
from covid_xray.inference.lung_facts import in_words
from covid_xray.inference.lungs import WHOLE

Verdict = Literal["agree", "disagree", "correct"]
NORMAL = "normal"


@dataclass(frozen=True)
class Upload:
    """A file from outside: its name, a function that gives its bytes (called in a thread), and what is known of the
    patient (`clinical.record`)."""

    name: str
    read: Callable[[], bytes]
    known: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Key:
    """An `Idempotency-Key`: the SHA-256 of who sent it with what request, and that of the body."""

    sha256: str
    body_sha256: str


@dataclass(frozen=True, eq=False)
class NewStudy:
    """What is to be stored. The image of this `id` is on the shelf already.

    Args:
        id: 32 hexadecimal digits, of `new_id`.
        name: of the uploaded file, cleaned.
        uploader: who sent it.
        upload_sha256: of the bytes that were sent.
        bytes: of the image on the shelf.
        shape: height and width of the image.
        bits: of the image.
        source: what the file said about itself.
        finding: with class maps.
        thresholds: class to operating point to probability, of the bundle as it was when it answered.
        key: the same upload sent again gives the same study.
        job_item: job and number, when it belongs to a batch.
        study_uid, sop_uid, origin: of a PACS.
    """

    id: str
    name: str
    uploader: str
    upload_sha256: str
    bytes: int
    shape: tuple[int, int]
    bits: int
    source: ImageSource
    finding: Finding
    thresholds: dict[str, dict[str, float]] | None = None
    key: Key | None = None
    job_item: tuple[str, int] | None = None
    study_uid: str | None = None
    sop_uid: str | None = None
    origin: str | None = None


@dataclass(frozen=True, eq=False)
class Study:
    """A stored study.

    `finding` holds what `inference.io.results.as_dict` says of a `Finding` (probabilities, label, reasons,
    prediction_set, operating_points, gate, lungs, and joint where clinical values were given), `thresholds` (class to
    operating point to probability, or `None`), `region` (what the network saw: top, left, bottom, right in shares of
    the picture) and `lungs_in_words`.
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

    @property
    def probabilities(self) -> dict[str, float | None]:
        """Class to calibrated probability; `None` where the network gave no number."""
        return dict(self.finding["probabilities"])


@dataclass(frozen=True)
class Feedback:
    """What a reader said of a study, and of which network's answer."""

    id: int
    study_id: str
    created: datetime
    reader: str
    verdict: Verdict
    label: str | None
    note: str
    model: ModelIdentity


@dataclass(frozen=True)
class AuditEntry:
    """Who did what, when, to which study, job or user."""

    created: datetime
    who: str
    action: str
    what: str | None


def new_id() -> str:
    """A fresh id of 32 hexadecimal digits that nobody can guess."""
    return secrets.token_hex(16)


def now() -> datetime:
    """The time, in UTC."""
    return datetime.now(UTC)


def clean_text(text: str, *, longest: int = 4000) -> str:
    """Text that every database takes: no control characters but line breaks and tabs, no halves of characters."""
    whole = text[:longest].encode("utf-8", errors="replace").decode("utf-8")
    return "".join(c if c.isprintable() or c in "\n\t" else " " for c in whole).strip()


def clean_name(name: str) -> str:
    """A file name in one line of at most 200 characters; what an upload without a name gets is `image`."""
    return clean_text(name.replace("\n", " ").replace("\t", " "), longest=200) or "image"


def suspicion(probabilities: Mapping[str, float | None]) -> float:
    """How much a study wants to be looked at, 0..1: the probability that it is not normal.

    Without a class `normal` it is the largest probability; 1 when the network gave no numbers.
    """
    values = [value for value in probabilities.values() if value is not None]
    if len(values) < len(probabilities) or not values:
        return 1.0
    return 1.0 - values[list(probabilities).index(NORMAL)] if NORMAL in probabilities else max(values)


def thresholds(stored: Mapping[str, Any] | None) -> dict[str, dict[str, float]] | None:
    """Class to operating point to threshold, from `operating_points` of `bundle.json`; `None` where it has none."""
    return {
        name: {point: facts["threshold"] for point, facts in about["points"].items() if facts["threshold"] is not None}
        for name, about in (stored or {}).items()
    } or None


def study_row(new: NewStudy) -> dict[str, Any]:
    """The row of a new study."""
    finding = new.finding
    facts = as_dict(finding, identity=finding.model)
    told = {key: value for key, value in facts.items() if key not in ("image", "model", "error")}
    more = {"thresholds": new.thresholds, "region": list(finding.region)}
    lungs = in_words(finding.lungs, cropped=finding.region != WHOLE)
    return {
        "id": new.id,
        "created": now(),
        "name": clean_name(new.name),
        "uploader": new.uploader,
        "upload_sha256": new.upload_sha256,
        "bytes": new.bytes,
        "height": new.shape[0],
        "width": new.shape[1],
        "bits": new.bits,
        "format": new.source.format,
        "view": clean_text(new.source.view, longest=16) if new.source.view else None,
        "label": finding.label,
        "suspicion": suspicion(facts["probabilities"]),
        "finding": {**told, **more, "lungs_in_words": lungs},
        **packed_maps(finding.class_maps),
        **model_columns(finding.model),
        "study_uid": new.study_uid,
        "sop_uid": new.sop_uid,
        "origin": new.origin,
    }


def packed_maps(maps: NDArray[np.float32] | None) -> dict[str, Any]:
    """C x h x w class maps as columns: 256 levels below each map's largest value, which is as fine as colours are."""
    if maps is None:
        raise ValueError("expected a finding with class maps. Received: none")
    known = np.where(np.isfinite(maps).all(axis=(1, 2), keepdims=True), maps, 0.0)
    peaks = known.max(axis=(1, 2), initial=0.0)
    levels = np.rint(255 * known / np.maximum(peaks, 1e-30)[:, None, None]).astype(np.uint8)
    about = {"shape": list(maps.shape), "peaks": [float(peak) for peak in peaks]}
    return {"class_maps": zlib.compress(levels.tobytes(), 1), "class_maps_about": about}


def unpacked_maps(data: bytes, about: Mapping[str, Any]) -> NDArray[np.float32]:
    """The class maps of `packed_maps`."""
    levels = np.frombuffer(zlib.decompress(data), np.uint8).reshape(about["shape"])
    return (levels / 255 * np.array(about["peaks"])[:, None, None]).astype(np.float32)


def as_study(row: Mapping[Any, Any]) -> Study:
    """A row of the database as a `Study`."""
    plain = ("id", "created", "name", "uploader", "upload_sha256", "bytes", "height", "width", "bits", "format", "view")
    more = ("label", "suspicion", "finding", "verdict", "study_uid", "sop_uid", "origin")
    return Study(**{key: row[key] for key in plain + more}, model=_model(row))


def as_feedback(row: Mapping[Any, Any]) -> Feedback:
    """A row of the database as a `Feedback`."""
    plain = ("id", "study_id", "created", "reader", "verdict", "label", "note")
    return Feedback(**{key: row[key] for key in plain}, model=_model(row))


def model_columns(model: ModelIdentity) -> dict[str, str]:
    """The columns that say which network answered."""
    return {"model_name": model.name, "model_version": model.version, "model_sha256": model.sha256}


def _model(row: Mapping[Any, Any]) -> ModelIdentity:
    return ModelIdentity(row["model_name"], row["model_version"], row["model_sha256"])
