"""Studies and feedback in, CSV out, a line at a time.

A cell that a spreadsheet would take for a formula gets a quote before it: names and notes come from anybody.
"""

import json
from collections.abc import Iterable, Iterator, Sequence

from covid_xray.inference.io.results import csv_line
from covid_xray.store.records import Study
from covid_xray.store.store import Store

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def studies_csv(studies: Iterable[Study], classes: Sequence[str]) -> Iterator[str]:
    """A line for each study; `p_<class>` for each class of the network that answers now."""
    probabilities = [f"p_{name}" for name in classes]
    told = ["operating_points", "gate", "lungs", "joint"]
    header = ["suspicion", "reasons", "prediction_set", *told, "verdict", "uploader"]
    yield csv_line(
        ["id", "created", "name", "label", *probabilities, *header, "model", "model_version", "model_sha256"]
    )
    for study in studies:
        finding = study.finding
        numbers = (study.probabilities.get(name) for name in classes)
        yield csv_line(
            [
                study.id,
                study.created.isoformat(),
                plain(study.name),
                study.label,
                *("" if number is None else str(number) for number in numbers),
                f"{study.suspicion:.6f}",
                "; ".join(finding["reasons"]),
                "|".join(finding["prediction_set"] or []),
                *(json.dumps(facts) if (facts := finding.get(name)) else "" for name in told),
                study.verdict or "",
                plain(study.uploader),
                study.model.name,
                study.model.version,
                study.model.sha256,
            ]
        )


def feedback_csv(store: Store) -> Iterator[str]:
    """A manifest for training: the newest feedback of each study that says what its label is.

    `image` is the file's name in the folder `images` of the store. "agree" confirms the label that was given; a mere
    "disagree" says no label, and an agreement with "cannot say" neither: they have no line.
    """
    facts = ["verdict", "reader", "said", "note", "answered", "model", "model_version", "model_sha256"]
    yield csv_line(["image", "label", "source", *facts])
    newest = {said.study_id: said for said in store.feedback()}
    for said in newest.values():
        study = store.study(said.study_id)
        label = said.label if said.verdict == "correct" else study.label if said.verdict == "agree" else None
        if label not in study.probabilities:
            continue
        model = said.model
        yield csv_line(
            [
                f"{study.id}.png",
                str(label),
                "feedback",
                said.verdict,
                plain(said.reader),
                said.created.isoformat(),
                plain(said.note),
                study.label,
                model.name,
                model.version,
                model.sha256,
            ]
        )


def plain(cell: str) -> str:
    """A cell that no spreadsheet computes."""
    return f"'{cell}" if cell.startswith(_FORMULA) else cell
