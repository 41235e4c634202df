"""Batches over HTTP: 202 when they are on disk, then one row for each image, study or refusal; hostile archives."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from covid_xray.limits import Limits
from support.bundles import grey
from support.drawing import png
from support.servers import COVID, NORMAL, client, service_of, wait_for_job
from support.zips import archive


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with client(tmp_path_factory.mktemp("batches")) as inside:
        yield inside


def send(api: TestClient, *files: tuple[str, bytes], **headers: str) -> dict:
    answer = api.post("/api/v1/batch", files=[("file", part) for part in files], headers=headers)
    assert answer.status_code == 202, answer.text
    assert answer.headers["location"] == f"/api/v1/jobs/{answer.json()['id']}"
    return wait_for_job(api, answer.headers["location"])


def outcome(job: dict) -> dict[str, str]:
    """Name to label or code."""
    return {item["name"]: item["code"] or "answered" for item in job["items"]}


def test_every_file_ends_in_one_row(api: TestClient) -> None:
    job = send(api, ("a.png", COVID), ("b.txt", b"hello"), ("c.png", NORMAL))
    assert (job["total"], job["answered"], job["failed"], job["state"]) == (3, 2, 1, "done")
    assert outcome(job) == {"a.png": "answered", "b.txt": "not-an-image", "c.png": "answered"}
    labels = [api.get(f"/api/v1/studies/{item['study_id']}").json()["label"] for item in job["items"][::2]]
    assert labels == ["covid", "normal"]
    assert list(service_of(api).jobs.inbox.iterdir()) == []


def test_zip_archives_are_read_where_they_lie(api: TestClient) -> None:
    packed = archive({"scans/a.png": COVID, "b.png": NORMAL, "notes.txt": b"x", "__MACOSX/._a.png": b"x"})
    job = send(api, ("scans.zip", packed), ("single.png", COVID))
    assert outcome(job) == {"scans/a.png": "answered", "b.png": "answered", "single.png": "answered"}


def test_names_that_lead_outside_and_links_lead_nowhere(api: TestClient, tmp_path: Path) -> None:
    before = {path for path in tmp_path.parent.rglob("*") if "evil" in path.name}
    packed = archive({"../../evil.png": COVID, "/etc/evil.png": NORMAL}, links={"link.png": "/etc/passwd"})
    job = send(api, ("a.zip", packed))
    assert outcome(job) == {"../../evil.png": "answered", "/etc/evil.png": "answered", "link.png": "not-an-image"}
    assert {path for path in tmp_path.parent.rglob("*") if "evil" in path.name} == before


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (archive({"a.png": bytes(30_000_000)}), "zip-limits"),  # ratio 1,000
        (archive({f"{n}.png": b"" for n in range(1001)}), "zip-limits"),
        (archive({"a.txt": b"x"}), "no-images"),
        (archive({"a.png": COVID})[:-30], "bad-zip"),
        (b"PK\x03\x04 and nothing", "bad-zip"),
    ],
)
def test_archives_beyond_the_limits_are_one_refusal(api: TestClient, data: bytes, code: str) -> None:
    assert outcome(send(api, ("bomb.zip", data))) == {"bomb.zip": code}


def test_a_zip_bomb_that_lies_about_its_size_is_read_under_limits(api: TestClient) -> None:
    packed = bytearray(archive({"a.png": bytes(25 << 20), "b.png": bytes(range(256)) * 4000}))
    for mark in (b"PK\x03\x04", b"PK\x01\x02"):  # declare 1,000 bytes for the first entry
        at = packed.find(mark) + (22 if mark[2] == 3 else 24)
        packed[at : at + 4] = (1000).to_bytes(4, "little")
    job = send(api, ("a.zip", bytes(packed)))
    assert set(outcome(job).values()) <= {"bad-zip", "too-large", "zip-limits", "not-an-image"}


def test_the_same_key_gives_the_same_job(api: TestClient) -> None:
    first = send(api, ("a.png", COVID), **{"Idempotency-Key": "b1"})
    assert send(api, ("a.png", COVID), **{"Idempotency-Key": "b1"}) == first
    reused = api.post("/api/v1/batch", files={"file": ("a.png", NORMAL)}, headers={"Idempotency-Key": "b1"})
    assert (reused.status_code, reused.json()["code"]) == (422, "key-reused")
    assert list(service_of(api).jobs.inbox.iterdir()) == []


def test_too_many_images_are_refused_whole(tmp_path: Path) -> None:
    with client(tmp_path, limits=Limits(zip_entries=3)) as inside:
        packed = archive({f"{n}.png": png(grey("covid", seed=n)) for n in range(3)})
        files = [("file", ("a.zip", packed)), ("file", ("b.png", COVID))]
        answer = inside.post("/api/v1/batch", files=files)
        assert (answer.status_code, answer.json()["code"]) == (422, "too-many")
        assert list(service_of(inside).jobs.inbox.iterdir()) == []


def test_a_job_that_is_none(api: TestClient) -> None:
    assert api.get(f"/api/v1/jobs/{'0' * 32}").json()["code"] == "not-found"
    assert api.get("/api/v1/jobs/x").status_code == 422
