"""The charts of the drift page, and the page and its banner with an alarm."""

import datetime
from pathlib import Path

from covid_xray.inference.drift.checks import Result
from covid_xray.serving.views import drift_charts, languages
from covid_xray.serving.views.drift_charts import HEIGHT, WIDTH, status_words
from covid_xray.store.drift import rows
from covid_xray.store.drift.monitor import Status
from covid_xray.store.drift.rows import Check
from support.servers import client, service_of, upload

DAY = datetime.date(2026, 11, 30)


def check(images: int, severity: float, *, kind: str | None = None) -> Check:
    results = (
        Result("embeddings", "commissioning", 1.0, 0.5, severity),
        Result("positives", "commissioning", 1.0, None, 0.25),
    )
    return Check(images, rows.today(), images, 0.0, 0.0, kind, results)


def test_a_test_becomes_a_line_with_its_limit_and_alarms() -> None:
    found = drift_charts.charts([check(25, 0.0), check(50, 0.75), check(75, 3.0)])
    assert [chart.title for chart in found] == ["Features of the network", "Share of positive answers"]
    chart = found[0]
    assert (chart.first, chart.last, chart.newest) == (25, 75, 3.0)
    assert chart.series[0].points.split(" ")[0] == f"0.0,{HEIGHT}"
    assert len(chart.series[0].alarms) == 1
    assert chart.series[0].alarms[0][0] == WIDTH
    assert chart.series[0].alarms[0][1] < chart.limit
    assert drift_charts.charts([]) == []


def test_days_are_stacked_to_the_top() -> None:
    found = drift_charts.days({DAY: {"covid": 1, "normal": 3}, DAY + datetime.timedelta(days=1): {"normal": 2}})
    assert found is not None
    assert found.names == ("covid", "normal")
    first = [bar for bar in found.bars if bar.x == 0]
    assert sum(bar.height for bar in first) == HEIGHT
    assert found.table == ((DAY + datetime.timedelta(days=1), (0, 2)), (DAY, (1, 3)))
    assert drift_charts.days({}) is None


def test_what_was_found_is_said_in_the_language_of_the_reader() -> None:
    quiet, alarm = check(1250, 0.5), check(50, 1.25, kind="prevalence")
    assert status_words(Status("first images", 12, (), None)).endswith("there are 12.")
    assert status_words(Status("first images", 300, (), None)).startswith("No check yet")
    assert status_words(Status("first images", 300, (quiet,), None)).endswith("1,250 images were watched.")
    languages.use("de")
    try:
        assert status_words(Status("first images", 300, (alarm,), alarm)).startswith("Der Anteil der Antworten")
    finally:
        languages.use("en")


def test_an_alarm_is_a_banner_on_every_page_and_a_mark_in_the_chart(tmp_path: Path) -> None:
    with client(tmp_path) as inside:
        upload(inside)
        service = service_of(inside)
        assert "Drift:" not in inside.get("/").text
        model = service.predictor.identity.sha256
        rows.add_check(service.store.database, check(25, 0.5), model_sha256=model)
        rows.add_check(service.store.database, check(50, 1.25, kind="appearance"), model_sha256=model)
        service.drift.flush()
        assert "a change of appearance" in inside.get("/").text
        page = inside.get("/monitor").text
        assert page.count('class="alarm"') == 1
        assert "The appearance of the images has changed. Tests: Features of the network (commissioning)." in page
        assert 'class="b1"' in page
        assert "style=" not in page
        assert service.metrics.text().count(b'covid_xray_drift_alarm{kind="appearance"} 1.0') == 1
