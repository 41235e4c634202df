"""Give Prometheus the states of objects and results, and the refusals, of one node."""

import contextlib
from collections.abc import Iterator

from covid_xray.errors import CovidXrayError, MissingPackage, UsageError
from covid_xray.pacs.refusals import read_refusals
from covid_xray.pacs.settings import Pacs
from covid_xray.pacs.work_queue import WorkQueue


@contextlib.contextmanager
def exposed(settings: Pacs, queue: WorkQueue) -> Iterator[int | None]:
    """Answer Prometheus at `metrics_host` and `metrics_port` while the block runs; yield the port, if there is one.

    Raises:
        UsageError: the address is in use.
        MissingPackage: prometheus-client is not installed.
    """
    if settings.metrics_port is None:
        yield None
        return
    try:
        from prometheus_client import start_http_server
    except ModuleNotFoundError:
        raise MissingPackage('prometheus-client is not installed. Run: pip install "covid-xray[pacs]"') from None
    host, port = settings.metrics_host, settings.metrics_port
    try:
        server, thread = start_http_server(port, host, registry=_NodeCollector(queue))  # type: ignore[arg-type]
    except OSError:
        raise UsageError(f"Cannot listen at {host} port {port}: it is in use. Set another metrics_port.") from None
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _NodeCollector:
    """Read the figures from the database when Prometheus asks."""

    def __init__(self, queue: WorkQueue) -> None:
        self._queue = queue

    def collect(self) -> Iterator[object]:
        """Yield the metrics; only `covid_xray_pacs_up 0` when the database does not answer."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        states = GaugeMetricFamily("covid_xray_pacs_rows", "Objects and results by state.", labels=["of", "state"])
        refused = CounterMetricFamily(
            "covid_xray_pacs_refusals", "Refusals by reason and sender.", labels=["code", "ae_title", "address"]
        )
        try:
            for name, count in self._queue.count_states().items():
                states.add_metric(name.split(" ", 1), count)
            for one in read_refusals(self._queue.database):
                refused.add_metric([one.code, one.ae_title, one.address], one.count)
            up = 1
        except CovidXrayError:
            up = 0
        yield GaugeMetricFamily("covid_xray_pacs_up", "1 when the database of the node answers.", value=up)
        yield states
        yield refused
