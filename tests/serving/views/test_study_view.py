"""What the page of a study says in words: operating points, warnings, the gate's checks, advice for what is refused."""

import dataclasses
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import covid_xray
from covid_xray.inference.finding import ModelIdentity
from covid_xray.inference.gate import CHECKS as GATE_CHECKS
from covid_xray.serving.views.study_view import ADVICE, CHECKS, bars, checks, warnings
from covid_xray.store.records import Study
from support.contents import contents

MODEL = ModelIdentity("small", "1", "a" * 64)
FINDING: dict[str, Any] = {
    "probabilities": {"covid": 0.91, "normal": 0.06, "virus": 0.03},
    "reasons": [],
    "prediction_set": ["covid"],
    "operating_points": {"covid": {"rule-in": False, "rule-out": True, "balanced": True}},
    "thresholds": {"covid": {"rule-in": 0.95, "rule-out": 0.1, "balanced": 0.5}},
    "gate": {"view": {"value": "PA", "threshold": ["AP", "PA"], "ok": True, "words": ""}},
    "lungs": None,
    "site": {"name": "St. Elsewhere", "verdict": "fit", "sha256": "d" * 64},
}


def study(*, label: str = "covid", view: str | None = None, **finding: Any) -> Study:
    return Study(
        id="0" * 32,
        created=datetime(2026, 11, 25, tzinfo=UTC),
        name="chest.png",
        uploader="local",
        upload_sha256="b" * 64,
        bytes=1,
        height=40,
        width=30,
        bits=8,
        format="PNG",
        view=view,
        label=label,
        suspicion=0.94,
        finding=FINDING | finding,
        model=MODEL,
        verdict=None,
        study_uid=None,
        sop_uid=None,
        origin=None,
    )


def titles(about: Study, **facts: Any) -> list[str]:
    return [warning.title for warning in warnings(about, contents=contents(**facts), now=MODEL)]


def test_bars_carry_their_points_in_order() -> None:
    covid, normal, virus = bars(study())
    assert [(mark.name, mark.threshold, mark.verdict, mark.settles) for mark in covid.marks] == [
        ("rule-out", 0.1, "not ruled out", False),
        ("balanced", 0.5, "above", False),
        ("rule-in", 0.95, "not ruled in", False),
    ]
    assert (covid.leads, normal.leads, virus.leads) == (True, False, False)
    assert (covid.kept, normal.kept) == (True, False)


def test_points_that_were_chosen_on_another_network_are_not_shown() -> None:
    assert bars(study(operating_points=None))[0].marks == ()


def test_a_network_without_numbers_leads_nowhere() -> None:
    broken = bars(study(probabilities=dict.fromkeys(FINDING["probabilities"]), prediction_set=None))
    assert [(bar.probability, bar.leads, bar.kept) for bar in broken] == [(None, False, None)] * 3


def test_nothing_to_warn_of() -> None:
    assert titles(study()) == []
    assert titles(study(label="virus", joint={"known": {"age": 4.0}})) == []


@pytest.mark.parametrize(
    ("about", "title"),
    [
        (study(site=None), "Not checked at this hospital"),
        (study(site=FINDING["site"] | {"ended": "2026-01-01"}), "The check of this hospital has ended"),
        (study(gate=None, view="LL"), "Not a frontal view"),
        (study(label="virus"), "Is this a child?"),
        (study(prediction_set=["covid", "virus"]), "Is this a child?"),
        (study(label="virus", joint={"known": {"age": 63.0}}), "The patient is 63 years old"),
        (study(gate=None), "Input not checked"),
        (study(prediction_set=None, operating_points=None), "Not calibrated"),
        (study(lungs={"plausible": False, "words": "lungs were not found"}), "Lungs not found"),
        (dataclasses.replace(study(), model=ModelIdentity("old", "0", "c" * 64)), "Classified by another network"),
    ],
)
def test_what_is_warned_of(about: Study, title: str) -> None:
    assert title in titles(about)


def test_the_gate_says_itself_that_a_view_is_lateral() -> None:
    assert titles(study(view="LL")) == []


def test_adults_are_no_problem_of_a_network_that_was_trained_on_other_data() -> None:
    assert titles(study(label="virus"), training_data={"source": {"ward": 900}}) == []
    assert titles(study(label="virus"), training_data={"source": {"kermany": 900}}) == ["Is this a child?"]


def test_objections_of_the_gate_come_first() -> None:
    words = "looks blank: it has hardly any contrast"
    found = checks(study(gate=FINDING["gate"] | {"contrast": {"ok": False, "words": words}}))
    assert [(check.name, check.passed, check.text) for check in found] == [
        ("Not blank", False, words),
        ("Frontal view (stated in the file)", True, ""),
    ]


def test_every_check_of_the_gate_has_a_name() -> None:
    assert set(GATE_CHECKS) <= set(CHECKS)


def test_every_refusal_of_a_file_has_its_advice() -> None:
    house = Path(covid_xray.__file__).parent
    files = [*(house / "images").glob("*.py"), house / "inference/io/inputs.py", house / "serving" / "jobs.py"]
    codes = {code for path in files for code in re.findall(r'code="([a-z-]+)"', path.read_text(encoding="utf-8"))}
    assert codes > {"truncated", "too-many-pixels"}
    assert codes - set(ADVICE) <= {"key-reused"}  # which the page, with a fresh key each time, never meets
