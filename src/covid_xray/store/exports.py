"""Export studies, feedback and the audit log as CSV, line by line."""

import json
from collections.abc import Iterable, Iterator, Sequence

from covid_xray.inference.finding import CANNOT_SAY
from covid_xray.inference.io.results import csv_line
from covid_xray.store.records import AuditEntry, Study
from covid_xray.store.store import Store

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
_JSON_COLUMNS = ("operating_points", "gate", "lungs", "joint")
_MODEL_COLUMNS = ("model", "model_version", "model_sha256")


def studies_csv(studies: Iterable[Study], classes: Sequence[str]) -> Iterator[str]:
    """Yield one line per study, with a column `p_<class>` for each class of the loaded network."""
    columns = ["id", "created", "name", "label", *(f"p_{name}" for name in classes)]
    columns += ["suspicion", "reasons", "prediction_set", *_JSON_COLUMNS, "verdict", "uploader", *_MODEL_COLUMNS]
    yield csv_line(columns)
    for study in studies:
        finding, numbers = study.finding, [study.probabilities.get(name) for name in classes]
        cells = [study.id, study.created.isoformat(), escape_formula(study.name), study.label]
        cells += ["" if number is None else str(number) for number in numbers]
        cells += [f"{study.suspicion:.6f}", "; ".join(finding["reasons"]), "|".join(finding["prediction_set"] or [])]
        cells += [json.dumps(facts) if (facts := finding.get(name)) else "" for name in _JSON_COLUMNS]
        cells += [study.verdict or "", escape_formula(study.uploader)]
        yield csv_line([*cells, study.model.name, study.model.version, study.model.sha256])


def feedback_csv(store: Store) -> Iterator[str]:
    """Yield a training manifest: the newest feedback of each study, also of those that have expired.

    `image` is the file name in the store's folder `images`; it is empty when the study has expired, and `upload_sha256`
    names the file then. "agree" confirms the network's label and "correct" gives another one, or `other`. A plain
    "disagree", and agreement with "cannot say", settle no label: theirs is empty, and `index` sets them aside.
    """
    facts = ["verdict", "reader", "said", "note", "answered", "upload_sha256"]
    yield csv_line(["image", "label", "source", *facts, *_MODEL_COLUMNS])
    newest = {feedback.study_id: feedback for feedback in store.feedback()}
    kept = store.ids_with_feedback()
    for feedback in newest.values():
        settled = {"correct": feedback.label, "agree": feedback.answered, "disagree": None}[feedback.verdict]
        label = settled if settled and settled != CANNOT_SAY else ""
        image = f"{feedback.study_id}.png" if feedback.study_id in kept else ""
        cells = [image, label, "feedback", feedback.verdict, escape_formula(feedback.reader)]
        cells += [feedback.created.isoformat(), escape_formula(feedback.note)]
        cells += [feedback.answered or "", feedback.upload_sha256 or ""]
        yield csv_line([*cells, feedback.model.name, feedback.model.version, feedback.model.sha256])


def audit_csv(entries: Iterable[AuditEntry]) -> Iterator[str]:
    """Yield one line per entry of the audit log."""
    columns = ("id", "created", "who", "action", "what", "address", "code", "hash")
    yield csv_line(columns)
    for entry in entries:
        cells = [str(entry.id), entry.created.isoformat(), entry.who, entry.action]
        cells += [entry.what or "", entry.address or "", entry.code or "", entry.hash]
        yield csv_line([escape_formula(cell) for cell in cells])


def escape_formula(cell: str) -> str:
    """Prefix a quote to text from outside that a spreadsheet would compute as a formula."""
    return f"'{cell}" if cell.startswith(_FORMULA_STARTS) else cell
