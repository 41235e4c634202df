"""Parse clinical values of a patient, and describe the stored answer with clinical values for pages and reports."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pydantic

from covid_xray import clinical
from covid_xray.clinical_record import ClinicalRecord
from covid_xray.errors import InputRefused
from covid_xray.inference.finding import CANNOT_SAY
from covid_xray.inference.predictor import Predictor
from covid_xray.serving.views.languages import gettext
from covid_xray.serving.views.reading import headline
from covid_xray.serving.views.rendering import capital
from covid_xray.store.records import Study


class ClinicalIn(ClinicalRecord):
    """Clinical values of the patient; missing ones are unknown. An empty object removes the stored answer."""

    model_config = pydantic.ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"age": 63, "sex": "F", "spo2": 91, "fever": True}]}
    )


@dataclass(frozen=True)
class ClassPair:
    """One class: its probability (0..1) from the image alone and with clinical values."""

    name: str
    image: float | None
    both: float
    leads: bool


@dataclass(frozen=True)
class Contribution:
    """One field: its title, its formatted value, and its Shapley value for the leading class, -1..1."""

    title: str
    value: str
    by: float


@dataclass(frozen=True)
class JointView:
    """An answer with clinical values (`inference.finding.Joint`), as pages and reports show it."""

    label: str
    headline: str  # the name of the label
    reasons: list[str]
    prediction_set: list[str] | None
    remarks: list[str]
    pairs: list[ClassPair]
    leads: str  # the most probable class
    contributions: list[Contribution]  # to the leading class, largest first
    unused: list[tuple[str, str]]  # title and reason of each value without effect

    @property
    def cannot_say(self) -> bool:
        """Whether class and percentages are held back until asked for."""
        return self.label == CANNOT_SAY

    @property
    def largest(self) -> float:
        """The largest absolute contribution, to scale the bars; never 0."""
        return max([abs(it.by) for it in self.contributions], default=0.0) or 1.0


def joint_view(study: Study) -> JointView | None:
    """Describe the answer with clinical values; `None` when the study has none."""
    stored = study.finding.get("joint")
    if not stored:
        return None
    both = stored["probabilities"]
    leads = max(both, key=both.__getitem__)
    contributions = [
        Contribution(_title(name), _value(stored, name), by[leads]) for name, by in stored["contributions"].items()
    ]
    return JointView(
        label=stored["label"],
        headline=headline(stored["label"], stored["reasons"]),
        reasons=stored["reasons"],
        prediction_set=stored["prediction_set"],
        remarks=stored["remarks"],
        pairs=[ClassPair(name, study.probabilities.get(name), value, name == leads) for name, value in both.items()],
        leads=leads,
        contributions=sorted(contributions, key=lambda it: -abs(it.by)),
        unused=[(_title(name), reason) for name, reason in stored["unused"].items()],
    )


def form_fields(predictor: Predictor) -> list[clinical.Field]:
    """List the clinical fields that the network uses; none when it has no clinical input."""
    fusion = predictor.bundle.fusion
    if fusion is None:
        return []
    return [clinical.BY_NAME[field.name] for field in fusion.facts.fields if field.used]


def parse_record(values: Mapping[str, Any], predictor: Predictor) -> clinical.Record:
    """Parse the clinical fields of a form; empty ones are left out.

    Raises:
        InputRefused: an unknown field (`no-such-field`), an invalid value (`clinical-value`, `clinical-conflict`), or a
            network without clinical input (`no-clinical-input`).
    """
    if any(name not in clinical.BY_NAME for name in values):
        message = f"Unknown field in the form. Send file and, of clinical values, {', '.join(clinical.BY_NAME)}."
        raise InputRefused(message, code="no-such-field")
    record = clinical.record(values)
    require_clinical_input(record, predictor)
    return record


def require_clinical_input(record: clinical.Record, predictor: Predictor) -> None:
    """Raise `InputRefused` (`no-clinical-input`) when there are values and the network cannot use any."""
    if record and predictor.bundle.fusion is None:
        message = "This network classifies images only. Send the image without clinical values."
        raise InputRefused(message, code="no-clinical-input")


def _title(name: str) -> str:
    return capital(gettext(clinical.BY_NAME[name].title))


def _value(stored: Mapping[str, Any], name: str) -> str:
    field = clinical.BY_NAME[name]
    value = clinical.read(field, stored["known"][name])
    if value is None or field.codes:
        return "" if value is None else gettext(clinical.shown(name, value))
    return f"{value:g} {gettext(field.unit)}"
