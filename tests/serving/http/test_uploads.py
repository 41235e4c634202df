"""Bodies that are no upload are refused with a code, those over the limit with 413."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient

from covid_xray.limits import Limits
from support.drawing import png
from support.servers import COVID, client, file


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    facts = {"operating_points": None}
    with client(tmp_path_factory.mktemp("api"), facts=facts) as inside:
        yield inside


def test_bodies_that_are_none_are_refused(api: TestClient) -> None:
    empty = api.post("/api/v1/predict", files={"other": ("a.png", COVID)})
    assert (empty.status_code, empty.json()["code"]) == (422, "no-file")
    field = api.post("/api/v1/predict", files={"file": (None, "text")})
    assert (field.status_code, field.json()["code"]) == (422, "no-file")
    plain = api.post("/api/v1/predict", content=COVID, headers={"Content-Type": "image/png"})
    assert (plain.status_code, plain.json()["code"]) == (422, "not-multipart")
    torn = api.post("/api/v1/predict", content=b"--x\r\n", headers={"Content-Type": "multipart/form-data; boundary=y"})
    assert (torn.status_code, torn.json()["code"]) == (422, "bad-multipart")
    bare = api.post("/api/v1/predict", content=b"--x\r\n", headers={"Content-Type": "multipart/form-data"})
    assert (bare.status_code, bare.json()["code"]) == (422, "bad-multipart")
    two = api.post("/api/v1/predict", files=[("file", ("a.png", COVID)), ("file", ("b.png", COVID))])
    assert (two.status_code, two.json()["code"]) == (422, "bad-multipart")


def test_a_body_over_the_limit_is_413(tmp_path: Path) -> None:
    with client(tmp_path, limits=Limits(upload_bytes=1000)) as inside:
        noise = np.random.default_rng(0).integers(0, 256, (40, 40)).astype(np.uint8)
        assert inside.post("/api/v1/predict", files=file(png(noise))).json()["code"] == "too-large"
        declared = inside.post("/api/v1/predict", files=file(bytes(200_000)))
        assert (declared.status_code, declared.json()["code"]) == (413, "too-large")
        chunked = inside.post(
            "/api/v1/predict",
            content=(bytes(1000) for _ in range(200)),
            headers={"Content-Type": "multipart/form-data; boundary=x"},
        )
        assert (chunked.status_code, chunked.json()["code"]) == (413, "too-large")
