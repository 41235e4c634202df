"""Metrics count routes and codes, never values, and two servers in one process do not share them."""

import logging
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

from covid_xray.serving.prometheus import Metrics
from support.servers import client, file, service_of, upload


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with client(tmp_path_factory.mktemp("metrics")) as inside:
        yield inside


def test_text_is_what_prometheus_reads() -> None:
    one, other = Metrics(), Metrics()
    one.answers.labels("covid").inc()
    one.batches.observe(3)
    one.watch("covid_xray_test", "A value.", lambda: 7)
    samples = {
        sample.name: sample.value
        for family in text_string_to_metric_families(one.text().decode())
        for sample in family.samples
    }
    assert samples["covid_xray_answers_total"] == 1
    assert samples["covid_xray_batch_images_count"] == 1
    assert samples["covid_xray_test"] == 7
    assert b"covid_xray_test" not in other.text()


def test_the_access_log_says_routes_and_no_values(api: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    api.cookies.clear()
    study = upload(api)
    caplog.clear()  # of the upload, where another test left the log open
    with caplog.at_level(logging.INFO, logger="covid_xray.serving.access"):
        api.get(f"/api/v1/studies/{study['id']}")
        api.get("/api/v1/studies?q=CANARY")
        api.get("/CANARY")
    lines = [record.getMessage().rpartition(" ")[0].rpartition(" ")[0] for record in caplog.records]
    assert lines == ["GET /api/v1/studies/{id} 200", "GET /api/v1/studies 200", "GET unknown 404"]


def test_metrics_count_routes_and_codes(api: TestClient) -> None:
    api.cookies.clear()
    study = upload(api)
    api.get(f"/api/v1/studies/{study['id']}")
    api.post("/api/v1/predict", files=file(b"CANARY", "CANARY"))
    text = api.get("/metrics").text
    assert 'covid_xray_requests_total{method="GET",route="/api/v1/studies/{id}",status="200"}' in text
    assert 'covid_xray_refusals_total{code="not-an-image"}' in text
    assert study["id"] not in text
    assert "CANARY" not in text


def test_drift_is_a_gauge_for_each_kind_and_test(api: TestClient) -> None:
    text = service_of(api).metrics.text().decode()
    assert 'covid_xray_drift_alarm{kind="appearance"} 0.0' in text
    assert 'covid_xray_drift_severity{test="positives"} 0.0' in text
    assert "covid_xray_drift_images 0.0" in text
