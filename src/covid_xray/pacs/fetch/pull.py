"""Fetch studies from a peer, by DICOMweb or by DICOM, classify them and send the results."""

from collections.abc import Callable

from covid_xray.errors import Busy, UsageError
from covid_xray.files import folder_lock
from covid_xray.inference.predictor import Predictor
from covid_xray.pacs.fetch import dicomweb, query_retrieve
from covid_xray.pacs.fetch.selection import PullReport, StudySelection
from covid_xray.pacs.receiver import Receiver
from covid_xray.pacs.service import open_receiver, open_services
from covid_xray.pacs.settings import Pacs
from covid_xray.pacs.store_scu import web_client


def pull(settings: Pacs, predictor: Callable[[], Predictor], name: str, selection: StudySelection) -> PullReport:
    """Fetch studies of the peer called `name`, classify them and send the results.

    Where a node runs on this store, it classifies and sends, and `predictor` is not called.

    Raises:
        UsageError: no such peer, or one that only takes results.
        PeerFailed: the peer does not answer.
    """
    fetch, report = _fetcher(settings, name, selection), PullReport()
    if _is_locked(settings):
        with open_receiver(settings, limits=settings.limits) as receiver:
            fetch(receiver, report, True)
        report.remark = "; the running node answers and sends"
        return report
    with open_services(settings, predictor()) as services:
        fetch(services.receiver, report, False)
        report.answered = services.classify_all()
        services.send_all()
        report.left = services.queue.count_states().get("deliveries waiting", 0)
    return report


def _fetcher(settings: Pacs, name: str, selection: StudySelection) -> Callable[[Receiver, PullReport, bool], None]:
    """Return what fetches the selection; its last argument says whether a node runs on this store."""
    peer = settings.peer(name)
    if peer.dicomweb:
        client = web_client(peer)
        return lambda receiver, report, _: dicomweb.fetch(client, receiver, name, selection, report)
    if not peer.is_dicom:
        raise UsageError(f"Nothing can be fetched from {name}. Name a peer with dicomweb, or with host and ae_title.")
    return lambda receiver, report, node_runs: query_retrieve.fetch(
        settings, name, receiver, selection, report, node_runs=node_runs
    )


def _is_locked(settings: Pacs) -> bool:
    try:
        with folder_lock(settings.folder):
            return False
    except Busy:
        return True
