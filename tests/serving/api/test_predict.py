"""An image in, its finding out, over HTTP: stored before it is said, or refused with a code and nothing left."""

import io
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from covid_xray.limits import Limits
from support import bombs
from support.bundles import GREYS, grey
from support.drawing import dicom, jpeg, picture, png
from support.servers import COVID, NORMAL, client, file, service_of, upload


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    facts = {"operating_points": None}
    with client(tmp_path_factory.mktemp("api"), facts=facts) as inside:
        yield inside


@pytest.mark.parametrize("label", GREYS)
def test_predict_says_what_the_predictor_says(api: TestClient, label: str) -> None:
    data = png(grey(label, seed=3))
    study = upload(api, data, "scan.png")
    finding = service_of(api).predictor.predict(data)
    assert study["label"] == finding.label == label
    assert study["probabilities"] == pytest.approx(finding.probabilities, abs=1e-6)
    assert study["model"] == finding.model.as_dict()
    assert (study["name"], study["uploader"]) == ("scan.png", "local")
    assert study["image"] == {"height": 40, "width": 30, "bits": 8, "format": "PNG", "view": None}
    assert study["disclaimer"] == "research use, not for diagnosis"


@pytest.mark.parametrize(
    ("data", "format", "bits"),
    [
        (png(picture(bits=16)), "PNG", 16),
        (jpeg(picture()), "JPEG", 8),
        (dicom(picture(bits=12), ViewPosition="PA", PatientName="CANARY^DOE"), "DICOM", 12),
    ],
)
def test_all_formats_of_the_house(api: TestClient, data: bytes, format: str, bits: int) -> None:
    study = upload(api, data)
    assert (study["image"]["format"], study["image"]["bits"]) == (format, bits)
    assert "CANARY" not in str(study)


def test_what_is_said_is_stored(api: TestClient) -> None:
    answer = api.post("/api/v1/predict", files=file())
    study = answer.json()
    assert answer.headers["location"] == f"/api/v1/studies/{study['id']}"
    assert api.get(answer.headers["location"]).json() == study
    assert (service_of(api).store.images.folder / f"{study['id']}.png").is_file()


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "empty"),
        (b"hello", "not-an-image"),
        (COVID[:-9], "truncated"),
        (dicom(picture(bits=12))[:-400], "truncated"),
    ],
)
def test_a_refusal_has_a_code_and_leaves_nothing(api: TestClient, data: bytes, code: str) -> None:
    images = service_of(api).store.images
    before = sorted(images.folder.iterdir())
    total = api.get("/api/v1/studies").json()["total"]
    answer = api.post("/api/v1/predict", files=file(data, "CANARY^DOE.png"))
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["code"] == code
    assert problem["type"] == f"urn:covid-xray:problem:{code}"
    assert "CANARY" not in answer.text
    assert sorted(images.folder.iterdir()) == before
    assert api.get("/api/v1/studies").json()["total"] == total


def test_bombs_are_refused_in_time(api: TestClient) -> None:
    """A few of them, to see that uploads are decoded in limited children; tests/hostile has them all."""
    for name in sorted(bombs.BOMBS)[:: len(bombs.BOMBS) // 6]:
        data = bombs.BOMBS[name]()
        answer = api.post("/api/v1/predict", files=file(data))
        expected = (200, 422) if len(data) < Limits().upload_bytes else (413, 422)
        assert answer.status_code in expected, (name, answer.text)


def test_the_same_key_gives_the_same_study(api: TestClient) -> None:
    first = upload(api, COVID, headers={"Idempotency-Key": "k1"})
    assert upload(api, COVID, headers={"Idempotency-Key": "k1"}) == first
    assert upload(api, COVID, headers={"Idempotency-Key": "k2"})["id"] != first["id"]
    reused = api.post("/api/v1/predict", files=file(NORMAL), headers={"Idempotency-Key": "k1"})
    assert (reused.status_code, reused.json()["code"]) == (422, "key-reused")
    explained = api.post("/api/v1/explain", files=file(COVID), headers={"Idempotency-Key": "k1"})
    assert explained.headers["location"] != f"/api/v1/studies/{first['id']}"
    bad = api.post("/api/v1/predict", files=file(), headers={"Idempotency-Key": "x" * 201})
    assert (bad.status_code, bad.json()["code"]) == (422, "invalid-request")


def test_explain_draws_and_stores(api: TestClient) -> None:
    answer = api.post("/api/v1/explain?class=covid", files=file())
    assert answer.headers["content-type"] == "image/png"
    with Image.open(io.BytesIO(answer.content)) as image:
        assert image.mode == "RGB"
        assert image.width > 30
    assert api.get(answer.headers["location"]).json()["label"] == "covid"
    before = api.get("/api/v1/studies").json()["total"]
    wrong = api.post("/api/v1/explain?class=flu", files=file())
    assert (wrong.status_code, wrong.json()["code"]) == (422, "no-such-class")
    assert api.get("/api/v1/studies").json()["total"] == before


def test_model_says_what_answers(api: TestClient) -> None:
    model = api.get("/api/v1/model").json()
    assert model["classes"] == ["covid", "normal", "virus"]
    assert model["input"] == {"height": 24, "width": 24}
    assert model["engine"].startswith("onnxruntime")
    assert model["sha256"] == service_of(api).predictor.identity.sha256
    assert model["facts"]["format"] == 1


def test_audit_log_tells_who_saw_what(api: TestClient) -> None:
    study = upload(api)
    api.get(f"/api/v1/studies/{study['id']}/image.png")
    api.get(f"/api/v1/studies/{study['id']}/heatmap.png")
    lines = [line for line in api.get("/api/v1/audit").json() if line["what"] == study["id"]]
    assert [(line["who"], line["action"]) for line in lines] == [("local", "view"), ("local", "upload")]
    assert api.get("/api/v1/audit?limit=0").status_code == 422
