"""What the server counts, in the form that Prometheus reads. No names, ids or addresses: routes and codes only."""

from collections.abc import Callable
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Gauges:
    """The counters of one server, in a registry of their own."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        kept: Any = {"registry": self.registry}
        self.requests = Counter(
            "covid_xray_requests_total", "Requests by route, method and status.", ["route", "method", "status"], **kept
        )
        self.seconds = Histogram(
            "covid_xray_request_seconds", "Seconds until the answer was sent.", ["route"], buckets=_SECONDS, **kept
        )
        self.answers = Counter("covid_xray_answers_total", "Studies stored, by label.", ["label"], **kept)
        self.refusals = Counter("covid_xray_refusals_total", "Errors, by code.", ["code"], **kept)
        self.batches = Histogram("covid_xray_batch_images", "Images in one run of the network.", buckets=_SIZES, **kept)
        self.model = Gauge("covid_xray_model", "The network that answers.", ["name", "version", "sha256"], **kept)

    def watch(self, name: str, about: str, function: Callable[[], float]) -> None:
        """Add a value that is asked for when somebody looks."""
        Gauge(name, about, registry=self.registry).set_function(function)

    def text(self) -> bytes:
        """Everything, for a scraper."""
        return generate_latest(self.registry)
