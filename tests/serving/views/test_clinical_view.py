"""What is known of a patient beside the image: with the upload, as JSON, by the form; and what is shown of it."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pypdfium2
import pytest
from fastapi.testclient import TestClient

from covid_xray.serving.views.clinical_view import form_fields, joint_view
from support.joints import make_joint_bundle
from support.servers import COVID, HOST, NORMAL, client, file, service_of, upload

KNOWN = {"age": 80, "spo2": 88, "fever": True}


@pytest.fixture(scope="module")
def joint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    folder = tmp_path_factory.mktemp("joint")
    make_joint_bundle(folder / "bundle")
    with client(folder) as inside:
        yield inside


@pytest.fixture(autouse=True)
def without_past(joint: TestClient) -> Iterator[None]:
    """Pages give a cookie, and who has one must send its token and say where it is."""
    yield
    joint.cookies.clear()
    joint.headers.pop("Origin", None)


def text_of(pdf: bytes) -> str:
    with contextlib.closing(pypdfium2.PdfDocument(pdf)) as document:
        return " ".join(page.get_textpage().get_text_bounded() for page in document).replace("\r\n", " ")


def put(inside: TestClient, study: str, known: dict) -> dict:
    answer = inside.put(f"/api/v1/studies/{study}/clinical", json=known)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_values_that_come_with_the_image_give_a_joint_answer_beside_its_own(joint: TestClient) -> None:
    alone = upload(joint)
    answer = joint.post("/api/v1/predict", files=file(), data={"age": "80", "spo2": "88", "fever": "yes"})
    both = answer.json()
    assert alone["joint"] is None
    assert both["probabilities"] == alone["probabilities"]
    assert both["joint"]["probabilities"]["covid"] > alone["probabilities"]["covid"]
    assert both["joint"]["known"] == {"age": 80.0, "spo2": 88.0, "fever": True}
    moved = sum(by["covid"] for by in both["joint"]["contributions"].values())
    assert moved == pytest.approx(both["joint"]["probabilities"]["covid"] - both["probabilities"]["covid"], abs=1e-5)


def test_a_stored_image_is_answered_again_and_the_values_can_be_taken_back(joint: TestClient) -> None:
    with_values = joint.post("/api/v1/predict", files=file(NORMAL), data={"age": "80"}).json()
    study = upload(joint, NORMAL)
    later = put(joint, study["id"], {"age": 80})
    assert later["joint"] == with_values["joint"]
    assert later["probabilities"] == study["probabilities"]
    assert joint.get(f"/api/v1/studies/{study['id']}").json() == later
    assert put(joint, study["id"], {})["joint"] is None
    actions = [line["action"] for line in joint.get("/api/v1/audit").json() if line["what"] == study["id"]]
    assert actions.count("clinical") == 2


def test_the_same_key_with_other_values_is_refused(joint: TestClient) -> None:
    def send(age: int) -> tuple[int, dict]:
        key = {"Idempotency-Key": "once"}
        answer = joint.post("/api/v1/predict", files=file(), data={"age": str(age)}, headers=key)
        return answer.status_code, answer.json()

    (_, first), (_, again) = send(70), send(70)
    assert first["id"] == again["id"]
    assert send(71)[1]["code"] == "key-reused"


@pytest.mark.parametrize(
    ("fields", "code", "words"),
    [
        ({"temperature": "101"}, "clinical-value", "degrees Fahrenheit"),
        ({"spo2": "0.91"}, "clinical-value", "fraction"),
        ({"sp02": "91"}, "no-such-field", "spo2"),
    ],
)
def test_values_in_another_unit_and_fields_that_are_none_are_refused(
    joint: TestClient, fields: dict, code: str, words: str
) -> None:
    before = joint.get("/api/v1/studies").json()["total"]
    answer = joint.post("/api/v1/predict", files=file(), data=fields)
    assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert words in answer.json()["detail"]
    assert joint.get("/api/v1/studies").json()["total"] == before


def test_a_network_for_images_only_takes_no_values(tmp_path: Path) -> None:
    with client(tmp_path) as inside:
        answer = inside.post("/api/v1/predict", files=file(), data={"age": "80"})
        assert (answer.status_code, answer.json()["code"]) == (422, "no-clinical-input")
        study = upload(inside)["id"]
        answer = inside.put(f"/api/v1/studies/{study}/clinical", json={"age": 80})
        assert (answer.status_code, answer.json()["code"]) == (422, "no-clinical-input")
        assert form_fields(service_of(inside).predictor) == []
        assert 'id="patient"' not in inside.get(f"/studies/{study}").text


def test_a_study_of_another_network_keeps_its_answer(tmp_path: Path) -> None:
    make_joint_bundle(tmp_path / "bundle")
    with client(tmp_path) as inside:
        study = upload(inside)["id"]
    make_joint_bundle(tmp_path / "new", version="2")
    (tmp_path / "bundle").rename(tmp_path / "old")
    (tmp_path / "new").rename(tmp_path / "bundle")
    with client(tmp_path) as inside:
        answer = inside.put(f"/api/v1/studies/{study}/clinical", json={"age": 80})
        assert (answer.status_code, answer.json()["code"]) == (422, "other-model")
        assert inside.put(f"/api/v1/studies/{'0' * 32}/clinical", json={"age": 80}).status_code == 404


def test_the_form_of_the_page_does_the_same_and_says_what_is_wrong(joint: TestClient) -> None:
    study = upload(joint)["id"]
    page = joint.get(f"/studies/{study}").text
    assert [field.name for field in form_fields(service_of(joint).predictor)] == ["age", "spo2", "fever"]
    assert 'name="temperature"' not in page  # it would change nothing
    token = page.partition('name="csrf-token" content="')[2].partition('"')[0]
    own = {"csrf_token": token}
    joint.headers["Origin"] = HOST
    answer = joint.post(f"/studies/{study}/clinical", data={"age": "80", "spo2": "", "fever": "no", **own})
    assert "With clinical values" in answer.text
    assert "80 years" in answer.text
    refused = joint.post(f"/studies/{study}/clinical", data={"age": "1960", "spo2": "91", **own})
    assert refused.status_code == 422
    assert "looks like a year of birth" in refused.text
    assert 'value="91"' in refused.text  # what was right need not be typed again
    assert joint.get(f"/api/v1/studies/{study}").json()["joint"]["known"] == {"age": 80.0, "fever": False}


def test_what_moved_it_furthest_comes_first(joint: TestClient) -> None:
    store = service_of(joint).store
    study = upload(joint)["id"]
    assert joint_view(store.study(study)) is None
    put(joint, study, {**KNOWN, "sex": "F"})
    words = joint_view(store.study(study))
    assert words is not None
    assert words.leads == "covid"
    assert [abs(it.by) for it in words.contributions] == sorted(
        (abs(it.by) for it in words.contributions), reverse=True
    )
    assert {it.title: it.value for it in words.contributions} == {
        "Age": "80 years",
        "SpO2": "88 percent",
        "Fever": "yes",
    }
    assert words.unused == [("Sex", "stated of too few patients")]
    assert [pair.name for pair in words.pairs if pair.leads] == ["covid"]


def test_report_pdf_and_table_say_it_too(joint: TestClient) -> None:
    study = joint.post("/api/v1/predict", files=file(COVID, "known.png"), data={"age": "80"}).json()["id"]
    alone = upload(joint)["id"]
    assert "With clinical values" in joint.get(f"/studies/{study}/report").text
    printed = [text_of(joint.get(f"/api/v1/studies/{one}/report.pdf").content) for one in (alone, study)]
    assert ["With clinical values: COVID-19" in text for text in printed] == [False, True]
    assert "Age (80 years) +" in printed[1]
    (line,) = [line for line in joint.get("/api/v1/studies.csv").text.splitlines() if line.startswith(study)]
    assert '""known"": {""age"": 80.0}' in line
