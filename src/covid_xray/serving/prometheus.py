"""Count requests, answers and refusals for Prometheus, by route and code: never by name, id or address."""

import functools
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from covid_xray.inference.drift.checks import TESTS
from covid_xray.store.drift.monitor import DriftMonitor

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_LOG = logging.getLogger("covid_xray.serving.access")


class Metrics:
    """The metrics of one server, in a registry of their own."""

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
        self.model = Gauge("covid_xray_model", "The loaded network.", ["name", "version", "sha256"], **kept)

    def watch(self, name: str, about: str, function: Callable[[], float]) -> None:
        """Add a gauge that is read when Prometheus asks."""
        Gauge(name, about, registry=self.registry).set_function(function)

    def watch_drift(self, drift: DriftMonitor) -> None:
        """Add gauges of the newest check for drift: whether each kind of change raises an alarm, and each test."""
        kept: Any = {"registry": self.registry}
        alarm = Gauge("covid_xray_drift_alarm", "1 while the newest check has an alarm.", ["kind"], **kept)
        severity = Gauge("covid_xray_drift_severity", "Result of a test; above 1 is an alarm.", ["test"], **kept)
        for kind in sorted(set(TESTS.values())):
            alarm.labels(kind).set_function(functools.partial(drift.alarms, kind))
        for test in TESTS:
            severity.labels(test).set_function(functools.partial(drift.severity, test))
        self.watch("covid_xray_drift_images", "Images watched for drift.", lambda: drift.images)

    def text(self) -> bytes:
        """Format all metrics for Prometheus."""
        return generate_latest(self.registry)


class RequestMetrics:
    """ASGI middleware that counts, times and logs each request by its route template."""

    def __init__(self, app: Callable[..., Awaitable[None]]) -> None:
        self.app = app

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        """Handle one request."""
        service = getattr(scope["app"].state, "service", None) if "app" in scope else None
        if scope["type"] != "http" or service is None:
            await self.app(scope, receive, send)
            return
        begin, status = time.perf_counter(), 500

        async def note_status(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, note_status)
        finally:
            seconds, route = time.perf_counter() - begin, route_template(scope)
            method = scope["method"] if scope["method"] in _METHODS else "other"
            service.metrics.requests.labels(route, method, status).inc()
            service.metrics.seconds.labels(route).observe(seconds)
            _LOG.info("%s %s %s %.0f ms", method, route, status, 1000 * seconds)


def route_template(scope: Mapping[str, Any]) -> str:
    """Return the template of a request's route, never its path with the ids; `unknown` where there is none."""
    route = getattr(scope.get("route"), "path", None)
    if route is None:
        return "unknown"
    return f"/api/v1{route}" if scope["path"].startswith("/api/v1/") and not route.startswith("/api/") else str(route)
