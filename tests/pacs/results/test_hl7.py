"""HL7 v2 of an answer, of "cannot say" and of a refused picture: valid for hl7apy, nothing of the data as syntax."""

from typing import Any

import pytest
from hl7apy.core import Message
from hl7apy.parser import parse_message

from covid_xray.pacs.results.hl7 import escape
from support.reported import CASES, Reporter


@pytest.fixture(scope="module")
def reporter(tmp_path_factory: pytest.TempPathFactory) -> Reporter:
    return Reporter(tmp_path_factory.mktemp("b") / "bundle")


def parsed(data: bytes) -> Message:
    return parse_message(data.decode(), find_groups=True)


def observations(data: bytes) -> list[list[str]]:
    """Type, code and value of each OBX."""
    segments = [line.split("|") for line in data.decode().split("\r")]
    return [[fields[2], fields[3], fields[5]] for fields in segments if fields[0] == "OBX"]


@pytest.mark.parametrize("case", CASES)
def test_it_is_a_valid_message(case: str, reporter: Reporter) -> None:
    data = reporter.results(case)["hl7"]
    message = parsed(data)
    assert message.validate()
    assert message.msh.msh_9.value == "ORU^R01^ORU_R01"
    assert data == reporter.results(case)["hl7"]


def test_an_answer_has_its_rounded_numbers(reporter: Reporter) -> None:
    found = observations(reporter.results("answer")["hl7"])
    assert ["CWE", "121071^Finding^DCM", "840539006^COVID-19^SCT"] in found
    assert [value for kind, _, value in found if kind == "NM"] == ["0.98", "0.005", "0.02"]
    assert found[0] == ["ST", "113014^DICOM Study^DCM", "1.2.826.0.1.3680043.10.1.1"]


@pytest.mark.parametrize(
    ("case", "finding", "reason"),
    [
        ("cannot say", "82334004^Indeterminate^SCT", "not checked at this hospital"),
        ("refused", "not-analysed^Not analysed^L", "several pictures"),
    ],
)
def test_without_an_answer_there_is_a_reason_and_no_number(
    case: str, finding: str, reason: str, reporter: Reporter
) -> None:
    found = observations(reporter.results(case)["hl7"])
    assert {kind for kind, _, _ in found} == {"ST", "CWE", "TX"}
    assert [value for kind, _, value in found if kind == "CWE"] == [finding]
    assert any("Reason" in code and reason in value for _, code, value in found)


@pytest.mark.parametrize("case", CASES)
def test_scope_site_and_disclaimer_are_comments(case: str, reporter: Reporter) -> None:
    comments = [value for _, code, value in observations(reporter.results(case)["hl7"]) if "Comment" in code]
    for words in ("looks only for signs of", "not checked at this hospital", "research use, not for diagnosis"):
        assert any(words in comment for comment in comments)


def test_what_patients_are_called_is_no_syntax(reporter: Reporter) -> None:
    odd: dict[str, Any] = {
        "PatientName": "O'Nail|MSH|x^Ann&Co~\\", "PatientID": "A|B^C", "AccessionNumber": "1|2",
    }  # fmt: skip
    data = reporter.results("answer", **odd)["hl7"]
    message = parsed(data)
    assert message.validate()
    assert data.decode().count("MSH|") == 1
    patient = message.oru_r01_patient_result.oru_r01_patient.pid
    assert patient.pid_3.value == "A\\F\\B\\S\\C"
    assert patient.pid_5.value.startswith("O'Nail\\F\\MSH\\F\\x^Ann\\T\\Co\\R\\")
    assert escape("a\rPID|") == "a PID\\F\\"
