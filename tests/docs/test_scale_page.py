"""docs/explanation/scale.md says what docs/results/score_scale.json does, and its arithmetic is right."""

import json
import re

import pytest
import write_scale_page as scale_page


@pytest.fixture
def facts() -> dict:
    return json.loads(scale_page.RESULT.read_text(encoding="utf-8"))


@pytest.fixture
def page() -> str:
    return scale_page.PAGE.read_text(encoding="utf-8")


def cells(page: str, what: str) -> list[str]:
    """The figures of the row that begins so."""
    line = next(line for line in page.splitlines() if line.startswith(f"| {what}"))
    return [cell.strip() for cell in line.split("|")[2:-1]]


def test_the_page_is_what_follows_from_the_measurement(page: str, facts: dict) -> None:
    assert scale_page.written(page, facts) == page


def test_another_measurement_makes_another_page(page: str, facts: dict) -> None:
    facts["real"]["core_ms_an_input"] *= 2
    other = scale_page.written(page, facts)
    assert cells(other, "core-hours") != cells(page, "core-hours")
    with pytest.raises(SystemExit, match="0 blocks named goals"):
        scale_page.written(page.replace("<!-- goals -->", ""), facts)


def test_core_hours_and_reads_by_hand(page: str, facts: dict) -> None:
    own = next(run for run in facts["runs"] if (run["set"], run["engine"], run["workers"]) == ("real", "local", 1))
    hours = [float(cell.replace(",", "")) for cell in cells(page, "core-hours")]
    assert hours[0] == pytest.approx(1e6 * own["cpu_seconds"] / own["rows"] / 3600, rel=0.1)
    assert hours[1] == pytest.approx(100 * hours[0], rel=0.05)
    assert cells(page, "price of the reads, one file per image") == ["0.4", "40"]
    assert [float(re.sub("[ A-Z]", "", cell)) for cell in cells(page, "read, JPEG")] == pytest.approx(
        [facts["shipped"]["bytes_an_image"] / 1e3, facts["shipped"]["bytes_an_image"] / 1e4], rel=0.05
    )


def test_all_runs_over_the_same_inputs_have_one_checksum(facts: dict) -> None:
    found: dict[tuple, set] = {}
    for run in facts["runs"]:
        found.setdefault((run["set"], run["count"]), set()).add(run["checksum"])
        assert (run["rows"], run["failed"]) == (run["count"], 0)
    assert len(found) >= 4
    assert all(len(checksums) == 1 for checksums in found.values())
