"""What Prometheus reads: counters in a registry of their own, so that two servers in one process do not meet."""

from prometheus_client.parser import text_string_to_metric_families

from covid_xray.serving.prometheus import Gauges


def test_text_is_what_prometheus_reads() -> None:
    one, other = Gauges(), Gauges()
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
