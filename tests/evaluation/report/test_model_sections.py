"""The report's section on the clinical input: red where missingness tells, absent without an input."""

from covid_xray.evaluation.report.model_sections import clinical_input
from covid_xray.evaluation.report.sections import Table, Text

FIELD = {"title": "age", "unit": "years", "patients": {"covid": 48, "normal": 84}, "used": True,
         "classes": ["covid", "normal"]}  # fmt: skip
SILENT = {**FIELD, "title": "SpO2", "patients": {"covid": 8, "normal": 0}, "used": False, "classes": []}
EMPTY = {**SILENT, "title": "fever", "patients": {"covid": 0, "normal": 0}}
FIGURE = {"sees": "the image alone", "value": 0.9, "ci_low": 0.88, "ci_high": 0.92, "n": 100, "unit": "patients"}
WORTH = {"images": 200, "patients": 100, "macro_f1": {"image": FIGURE}, "warning": "It leaks.", "lines": ["adds 0"]}


def facts(**worth: object) -> dict:
    return {"fusion": {"fields": [FIELD, SILENT, EMPTY], "worth": {**WORTH, **worth}}}


def test_a_bundle_without_clinical_input_has_no_section() -> None:
    assert clinical_input({}) is None


def test_missingness_that_tells_is_said_in_red_and_first() -> None:
    section = clinical_input(facts())
    assert section is not None
    assert section.blocks[0] == Text("It leaks.", "alert")
    quiet = clinical_input(facts(warning=""))
    assert quiet is not None
    assert not any(isinstance(block, Text) and block.tone == "alert" for block in quiet.blocks)


def test_fields_are_told_with_their_patients_and_use() -> None:
    section = clinical_input(facts())
    assert section is not None
    worth, fields = (block for block in section.blocks if isinstance(block, Table))
    assert "200 images of 100 patients" in worth.caption
    assert [[cell.text for cell in row] for row in fields.rows] == [
        ["age", "48 covid, 84 normal", "used for covid, normal"],
        ["SpO2", "8 covid, 0 normal", "cannot change an answer"],
    ]


def test_an_input_that_was_not_measured_says_so() -> None:
    section = clinical_input({"fusion": {"fields": [FIELD]}})
    assert section is not None
    assert any(isinstance(block, Text) and "not measured" in block.text for block in section.blocks)
