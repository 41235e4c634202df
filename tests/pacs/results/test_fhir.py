"""FHIR of an answer, of "cannot say" and of a refused picture: valid for two validators, without undue numbers."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from fhir.resources.bundle import Bundle as BundleR5
from fhir.resources.R4B.bundle import Bundle as BundleR4

from support.reported import CASES, Reporter

ROOT = Path(__file__).parents[3]
NODE_MODULES = ROOT / "build" / "npm" / "node_modules"


@pytest.fixture(scope="module")
def reporter(tmp_path_factory: pytest.TempPathFactory) -> Reporter:
    return Reporter(tmp_path_factory.mktemp("b") / "bundle")


def resources(data: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    """The Observation and the DiagnosticReport."""
    observation, report = (entry["resource"] for entry in json.loads(data)["entry"])
    return observation, report


@pytest.mark.parametrize("case", CASES)
def test_both_releases_are_valid(case: str, reporter: Reporter) -> None:
    made = reporter.results(case)
    for model, kind in ((BundleR4, "fhir4"), (BundleR5, "fhir5")):
        read = model.model_validate_json(made[kind])
        assert [entry.resource.get_resource_type() for entry in read.entry] == ["Observation", "DiagnosticReport"]


@pytest.mark.parametrize("case", CASES)
def test_r4_is_valid_for_the_validator_of_npm(case: str, reporter: Reporter, tmp_path: Path) -> None:
    if shutil.which("node") is None or not (NODE_MODULES / "fhir").is_dir():
        pytest.skip("needs packages of npm: bash scripts/npm_packages.sh")
    script = ROOT / "tests" / "support" / "validate_fhir.js"
    for number, resource in enumerate(resources(reporter.results(case)["fhir4"])):
        file = tmp_path / f"{number}.json"
        file.write_text(json.dumps(resource))
        ran = subprocess.run(["node", script, NODE_MODULES, file], capture_output=True, text=True, check=True)
        assert json.loads(ran.stdout) == {"valid": True, "errors": []}


def test_an_answer_has_its_rounded_numbers_and_refers_to_study_and_patient(reporter: Reporter) -> None:
    made = reporter.results("answer", PatientID="P|1")
    for kind, study in (("fhir4", "imagingStudy"), ("fhir5", "study")):
        observation, report = resources(made[kind])
        assert observation["valueCodeableConcept"]["coding"][0]["code"] == "840539006"
        values = [one["valueQuantity"]["value"] for one in observation["component"] if "valueQuantity" in one]
        assert values == [0.98, 0.005, 0.02]
        assert report["conclusion"].startswith("COVID-19: about 98%. ")
        assert report[study][0]["identifier"]["value"] == "urn:oid:1.2.826.0.1.3680043.10.1.1"
        assert observation["derivedFrom"] == report[study]
        assert observation["subject"]["identifier"]["value"] == report["subject"]["identifier"]["value"] == "P|1"
        assert {observation["status"], report["status"]} == {"preliminary"}
        assert report["result"][0]["reference"] == json.loads(made[kind])["entry"][0]["fullUrl"]
        assert "Phantom" not in made[kind].decode()  # the name stays where it belongs


@pytest.mark.parametrize(
    ("case", "absent", "reason"),
    [("cannot say", "unknown", "not checked at this hospital"), ("refused", "not-performed", "several pictures")],
)
def test_without_an_answer_there_is_a_reason_and_no_number(
    case: str, absent: str, reason: str, reporter: Reporter
) -> None:
    observation, report = resources(reporter.results(case)["fhir5"])
    assert observation["dataAbsentReason"]["coding"][0]["code"] == absent
    assert reason in observation["dataAbsentReason"]["text"]
    assert reason in report["conclusion"]
    assert not {"valueCodeableConcept", "component"} & {*observation}
    for text in (json.dumps(observation), json.dumps(report)):
        assert "%" not in text
        assert "840539006" not in text
        assert "valueQuantity" not in text


@pytest.mark.parametrize("case", CASES)
def test_scope_site_and_disclaimer_stand_in_both(case: str, reporter: Reporter) -> None:
    observation, report = resources(reporter.results(case)["fhir4"])
    notes = " ".join(note["text"] for note in observation["note"])
    for text in (notes, report["conclusion"]):
        for words in ("looks only for signs of", "not checked at this hospital", "research use, not for diagnosis"):
            assert words in text


def test_sending_it_twice_creates_nothing_twice(reporter: Reporter) -> None:
    first, again = (reporter.results("answer")["fhir5"] for _ in range(2))
    assert first == again
    for entry in json.loads(first)["entry"]:
        identifier = entry["resource"]["identifier"][0]
        assert entry["request"]["ifNoneExist"] == f"identifier={identifier['system']}|{identifier['value']}"
    other = json.loads(reporter.results("answer", number=2)["fhir5"])
    assert other["entry"][0]["fullUrl"] != json.loads(first)["entry"][0]["fullUrl"]


def test_a_film_without_patient_id_and_date(reporter: Reporter) -> None:
    tags = dict.fromkeys(("PatientID", "StudyDate", "StudyTime", "AcquisitionDate", "ContentDate"), "")
    observation, report = resources(reporter.results("answer", **tags)["fhir4"])
    assert "identifier" not in observation["subject"]
    assert "effectiveDateTime" not in {*observation, *report}
