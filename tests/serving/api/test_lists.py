"""Days count whole, times without a zone are UTC, and a byte order mark comes when asked for."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from covid_xray.serving.api.lists import day_end, day_start, parse_day
from covid_xray.store import tables
from support.servers import client, service_of, upload


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A study of 25 November 2026, half past one in the afternoon."""
    with client(tmp_path_factory.mktemp("lists")) as inside:
        upload(inside)
        with service_of(inside).store.database.writing() as connection:
            connection.execute(sa.update(tables.studies).values(created=datetime(2026, 11, 25, 13, 30, tzinfo=UTC)))
        yield inside


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("since=2026-11-25", 1),
        ("since=2026-11-26", 0),
        ("until=2026-11-25", 1),
        ("until=2026-11-24", 0),
        ("since=2026-11-25&until=2026-11-25", 1),
        ("since=2026-11-25T13:30:00", 1),
        ("since=2026-11-25T13:31:00", 0),
        ("since=2026-11-25T14:31:00%2B01:00", 0),
        ("since=2026-11-25T14:30:00%2B01:00", 1),
        ("until=9999-12-31", 1),
    ],
)
def test_days_and_times(api: TestClient, query: str, found: int) -> None:
    assert api.get(f"/api/v1/studies?{query}").json()["total"] == found


def test_what_is_no_time_is_refused(api: TestClient) -> None:
    for text in ("yesterday", "2026-13-01", "2026-11-25T25:00:00", "\0"):
        answer = api.get("/api/v1/studies", params={"since": text})
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid-request"), text


@pytest.mark.parametrize("name", ["studies", "feedback", "audit"])
def test_a_byte_order_mark(api: TestClient, name: str) -> None:
    plain, marked = (api.get(f"/api/v1/{name}.csv{query}").content for query in ("", "?bom=true"))
    assert not plain.startswith(b"\xef\xbb\xbf")
    assert marked.startswith(b"\xef\xbb\xbf")
    assert marked[3:].splitlines()[0] == plain.splitlines()[0]


def test_several_labels(api: TestClient) -> None:
    for query, found in (("label=covid", 1), ("label=normal&label=covid", 1), ("label=normal&label=virus", 0)):
        assert api.get(f"/api/v1/studies?{query}").json()["total"] == found


def test_days_begin_and_end_in_utc() -> None:
    day = parse_day("2026-11-25")
    assert day_start(day) == datetime(2026, 11, 25, tzinfo=UTC)
    assert day_end(day) == datetime(2026, 11, 25, 23, 59, 59, 999999, tzinfo=UTC)
    assert parse_day("2026-11-25T00:00") is None


def test_pages_by_cursor(tmp_path: Path) -> None:
    with client(tmp_path) as api:
        ids = {upload(api, name=f"{number}.png")["id"] for number in range(5)}
        seen, cursor, newcomer = [], "", None
        while cursor is not None:
            page = api.get(
                f"/api/v1/studies?sort=created&limit=2&cursor={cursor}"
                if cursor
                else "/api/v1/studies?sort=created&limit=2"
            ).json()
            seen += [study["id"] for study in page["studies"]]
            cursor = page["next"]
            newcomer = newcomer or upload(api, name="new.png")["id"]  # arrives meanwhile, and shifts every offset
        assert (len(seen), set(seen)) == (5, ids)
        for query in ("cursor=x", "cursor=W10=", "sort=name&cursor=WyJjcmVhdGVkIixmYWxzZV0="):
            answer = api.get(f"/api/v1/studies?{query}")
            assert (answer.status_code, answer.json()["code"]) == (422, "bad-cursor")
