"""What is known of a patient, in and out: the fields of a form or of JSON in, a record out; a stored joint answer in,
what a page shows of it out: bars beside those of the image, and how far each field moved the answer."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pydantic

from covid_xray import clinical
from covid_xray.clinical_record import ClinicalRecord
from covid_xray.errors import InputRefused
from covid_xray.inference.predictor import Predictor
from covid_xray.serving.views.rendering import capital
from covid_xray.store.records import Study


class ClinicalIn(ClinicalRecord):
    """What is known of the patient; what is left out is unknown. Nothing at all takes the joint answer away."""

    model_config = pydantic.ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"age": 63, "sex": "F", "spo2": 91, "fever": True}]}
    )


@dataclass(frozen=True)
class Pair:
    """One class: its probability from the image alone and from both (0..1), and whether it leads among both."""

    name: str
    image: float | None
    both: float
    leads: bool


@dataclass(frozen=True)
class Moved:
    """One field: its title, the value for people, and how far it moved the leading class, -1..1 (a Shapley value)."""

    title: str
    value: str
    by: float


@dataclass(frozen=True)
class JointWords:
    """A joint answer for people.

    Args:
        label, reasons, prediction_set, remarks: as in `inference.finding.Joint`.
        pairs: classes in the order of the network.
        leads: the most probable class, whose movements are shown.
        moved: fields, the one that moved it furthest first.
        unused: title and reason of each value that changes nothing.
    """

    label: str
    reasons: list[str]
    prediction_set: list[str] | None
    remarks: list[str]
    pairs: list[Pair]
    leads: str
    moved: list[Moved]
    unused: list[tuple[str, str]]

    @property
    def furthest(self) -> float:
        """The largest movement, for the scale of the bars; never 0."""
        return max([abs(it.by) for it in self.moved], default=0.0) or 1.0


def joint_words(study: Study) -> JointWords | None:
    """The joint answer of a study, or `None` where nothing is known of its patient."""
    stored = study.finding.get("joint")
    if not stored:
        return None
    both = stored["probabilities"]
    leads = max(both, key=both.__getitem__)
    moved = [Moved(_title(name), _value(stored, name), by[leads]) for name, by in stored["contributions"].items()]
    return JointWords(
        label=stored["label"],
        reasons=stored["reasons"],
        prediction_set=stored["prediction_set"],
        remarks=stored["remarks"],
        pairs=[Pair(name, study.probabilities.get(name), value, name == leads) for name, value in both.items()],
        leads=leads,
        moved=sorted(moved, key=lambda it: -abs(it.by)),
        unused=[(_title(name), reason) for name, reason in stored["unused"].items()],
    )


def form_fields(predictor: Predictor) -> list[clinical.Field]:
    """The fields that a bundle makes use of, for a form; none where it has no clinical input."""
    fusion = predictor.bundle.fusion
    if fusion is None:
        return []
    return [clinical.BY_NAME[field["name"]] for field in fusion.facts["fields"] if field["used"]]


def record_of(values: Mapping[str, Any], predictor: Predictor) -> clinical.Record:
    """The record that form fields hold; fields without text are left out.

    Raises:
        InputRefused: a field that is none (`no-such-field`), a value that is none or out of range (`clinical-value`,
            `clinical-conflict`), or values where the network has no input for them (`no-clinical-input`).
    """
    if any(name not in clinical.BY_NAME for name in values):
        raise InputRefused(
            f"expected fields of file, {', '.join(clinical.BY_NAME)}. Received: another", code="no-such-field"
        )
    return taken(clinical.record(values), predictor)


def taken(record: clinical.Record, predictor: Predictor) -> clinical.Record:
    """The record. Raises `InputRefused` (`no-clinical-input`) when it holds something and the network takes nothing."""
    if record and predictor.bundle.fusion is None:
        raise InputRefused(
            "expected no clinical values: this network answers for images only. Received: some",
            code="no-clinical-input",
        )
    return record


def _title(name: str) -> str:
    return capital(clinical.BY_NAME[name].title)


def _value(stored: Mapping[str, Any], name: str) -> str:
    value = clinical.read(clinical.BY_NAME[name], stored["known"][name])
    return "" if value is None else clinical.shown(name, value)
