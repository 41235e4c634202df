"""The worklist and one study over HTTP: pictures drawn anew, feedback, deletion, tables."""

import csv
import io
from collections.abc import Iterator

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from support.bundles import grey
from support.drawing import dicom, picture, png
from support.servers import client, service_of, upload


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with client(tmp_path_factory.mktemp("studies")) as inside:
        yield inside


@pytest.fixture
def study(api: TestClient) -> dict:
    return upload(api, png(grey("covid", height=80, width=60)), "chest.png")


def pixels(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image)


def test_a_page_of_the_worklist(api: TestClient) -> None:
    for label in ("normal", "virus"):
        upload(api, png(grey(label)), f"{label}-page.png")
    page = api.get("/api/v1/studies", params={"q": "-page", "limit": 1}).json()
    assert (page["total"], page["limit"], page["offset"]) == (2, 1, 0)
    assert [study["label"] for study in page["studies"]] == ["virus"]
    page = api.get("/api/v1/studies", params={"q": "-PAGE", "offset": 1}).json()
    assert [study["label"] for study in page["studies"]] == ["normal"]
    assert api.get("/api/v1/studies", params={"label": "no\0such"}).json()["total"] == 0


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=501", "offset=-1", "sort=size", "feedback=x", "since=yesterday", "label=", "reverse=2"]
)
def test_queries_that_are_none(api: TestClient, query: str) -> None:
    answer = api.get(f"/api/v1/studies?{query}")
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid-request")
    assert answer.json()["errors"][0]["where"].startswith("query.")


def test_the_image_is_drawn_anew(api: TestClient) -> None:
    upload_data = png(picture(96, 80))
    study = upload(api, upload_data)
    answer = api.get(f"/api/v1/studies/{study['id']}/image.png")
    assert answer.headers["content-type"] == "image/png"
    assert answer.content != upload_data
    assert np.array_equal(pixels(answer.content), picture(96, 80))
    assert pixels(api.get(f"/api/v1/studies/{study['id']}/image.png?size=48").content).shape == (48, 40)
    assert pixels(api.get(f"/api/v1/studies/{study['id']}/image.png?size=4000").content).shape == (96, 80)


def test_a_window_reaches_into_all_bits(api: TestClient) -> None:
    deep = (picture(bits=12) // 32).astype(np.uint16)  # all of it in the lowest 1/32 of the range
    study = upload(api, dicom(deep, bits=12, WindowCenter=2048, WindowWidth=4096))
    flat = pixels(api.get(f"/api/v1/studies/{study['id']}/image.png").content)
    shown = pixels(api.get(f"/api/v1/studies/{study['id']}/image.png?low=0&high=0.03125").content)
    assert len(np.unique(flat)) < 12
    assert len(np.unique(shown)) > 60
    wrong = api.get(f"/api/v1/studies/{study['id']}/image.png?low=0.5&high=0.5")
    assert (wrong.status_code, wrong.json()["code"]) == (422, "bad-window")
    assert api.get(f"/api/v1/studies/{study['id']}/image.png?low=nan").status_code == 422


def layer_of(data: bytes) -> np.ndarray:
    """The colours and opacities of a layer, which is a palette picture."""
    picture = Image.open(io.BytesIO(data))
    assert picture.mode == "P"
    return np.asarray(picture.convert("RGBA"))


def test_heat_maps_are_layers_or_pictures(api: TestClient, study: dict) -> None:
    place = f"/api/v1/studies/{study['id']}/heatmap.png"
    layer = layer_of(api.get(f"{place}?class=covid").content)
    assert layer.shape == (80, 60, 4)
    assert layer[..., 3].max() == 255
    assert not layer_of(api.get(f"{place}?class=virus").content)[..., 3].any()  # no evidence for it
    assert layer_of(api.get(f"{place}?class=covid&size=40").content).shape == (40, 30, 4)
    picture = pixels(api.get(f"{place}?form=picture").content)
    assert picture.ndim == 3
    assert picture.shape[0] > 80
    wrong = api.get(f"{place}?class=flu")
    assert (wrong.status_code, wrong.json()["code"]) == (422, "no-such-class")


def test_feedback(api: TestClient, study: dict) -> None:
    place = f"/api/v1/studies/{study['id']}/feedback"
    said = api.post(place, json={"verdict": "correct", "label": "normal", "note": "scar"})
    assert said.status_code == 201
    assert said.json()["model"] == study["model"]
    assert api.get(place).json() == [said.json()]
    assert api.get(f"/api/v1/studies/{study['id']}").json()["verdict"] == "correct"
    assert api.get("/api/v1/studies", params={"feedback": "correct"}).json()["total"] >= 1
    for wrong in ({"verdict": "maybe"}, {"verdict": "correct"}, {}, {"verdict": "agree", "more": 1}, [], "x"):
        assert api.post(place, json=wrong).status_code == 422, wrong


def test_delete(api: TestClient, study: dict) -> None:
    place = f"/api/v1/studies/{study['id']}"
    assert api.delete(place).status_code == 204
    for path in (place, f"{place}/image.png", f"{place}/heatmap.png", f"{place}/feedback", f"{place}/report.pdf"):
        gone = api.get(path)
        assert (gone.status_code, gone.json()["code"]) == (404, "not-found")
    assert api.delete(place).status_code == 404
    assert not (service_of(api).store.images.folder / f"{study['id']}.png").exists()


def test_ids_are_ids(api: TestClient) -> None:
    assert api.get("/api/v1/studies/nonsense").json()["code"] == "invalid-request"
    assert api.get(f"/api/v1/studies/{'0' * 32}").json()["code"] == "not-found"


def test_report_is_a_pdf(api: TestClient, study: dict) -> None:
    answer = api.get(f"/api/v1/studies/{study['id']}/report.pdf")
    assert answer.headers["content-type"] == "application/pdf"
    assert answer.content.startswith(b"%PDF-")
    assert study["id"] in answer.headers["content-disposition"]


def test_tables(api: TestClient, study: dict) -> None:
    api.post(f"/api/v1/studies/{study['id']}/feedback", json={"verdict": "agree"})
    rows = list(csv.DictReader(io.StringIO(api.get("/api/v1/studies.csv").text)))
    row = next(row for row in rows if row["id"] == study["id"])
    assert float(row["p_covid"]) == study["probabilities"]["covid"]
    assert (row["name"], row["label"], row["verdict"]) == ("chest.png", "covid", "agree")
    lines = list(csv.DictReader(io.StringIO(api.get("/api/v1/feedback.csv").text)))
    line = next(line for line in lines if line["image"] == f"{study['id']}.png")
    assert (line["label"], line["verdict"], line["model_sha256"]) == ("covid", "agree", study["model"]["sha256"])
