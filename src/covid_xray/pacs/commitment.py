"""Ask an archive to confirm that it keeps the results (Storage Commitment, PS3.4 J), and record its answer.

The request follows the results. The answer is an N-EVENT-REPORT on the same association or, more often, on one
that the archive opens to the node. What is not confirmed in time, or refused, is sent again.
"""

import logging
import threading
from collections.abc import Sequence
from typing import Any

import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import ComprehensiveSRStorage, generate_uid

from covid_xray.errors import CovidXrayError
from covid_xray.pacs.phi_safe_logging import suppress_phi
from covid_xray.pacs.results.study_report import comprehensive_uid
from covid_xray.pacs.settings import Pacs, Peer
from covid_xray.pacs.spool import Spool
from covid_xray.pacs.store_scu import PeerFailed, associate
from covid_xray.pacs.work_queue import Delivery, WorkQueue

COMMITMENT = "1.2.840.10008.1.20.1"  # Storage Commitment Push Model
_INSTANCE = "1.2.840.10008.1.20.1.1"  # its well-known SOP instance
_REQUEST = 1  # action type
_REPORT_SECONDS = 1.0  # to wait for an answer on the same association
_REFUSED_SECONDS = 60.0  # before what an archive does not keep is sent again
_FAILURE = 0x0110
_LOG = logging.getLogger("covid_xray.pacs")


def report_senders(settings: Pacs) -> set[str]:
    """Return the AE titles of the peers that may send the answer to a request for commitment."""
    peers = (settings.peers[name] for name in settings.send_to)
    return {peer.ae_title for peer in peers if peer.commitment and peer.ae_title and peer.is_dicom}


def request_commitment(
    settings: Pacs,
    peer: Peer,
    sent: Sequence[Delivery],
    *,
    plain: Sequence[Delivery] = (),
    queue: WorkQueue,
    spool: Spool,
) -> None:
    """Ask a peer to confirm that it keeps what it was just sent; the results wait for its answer.

    Of what was `sent`, those in `plain` are reports that it took as Comprehensive SR.

    Raises:
        PeerFailed: it does not take the request; `not-accepted` when it never does.
    """
    from pynetdicom import evt

    transaction, reported = str(generate_uid(prefix=None)), threading.Event()
    queue.await_commitment(sent, transaction, seconds=peer.commitment_seconds)  # first: the answer may be quick

    def take_report(event: Any) -> tuple[int, None]:
        status = record_report(event, queue, spool)
        reported.set()
        return status, None

    association = associate(settings, peer, {COMMITMENT}, evt_handlers=[(evt.EVT_N_EVENT_REPORT, take_report)])
    try:
        with suppress_phi("The association failed"):
            request = _request([_uids(one, spool, plain=one in plain) for one in sent], transaction)
            status, _ = association.send_n_action(request, _REQUEST, COMMITMENT, _INSTANCE)
        if status.get("Status") != 0:
            raise PeerFailed("The peer refused the request for storage commitment.", code="no-commitment")
        reported.wait(_REPORT_SECONDS)
    finally:
        if association.is_established:
            association.release()


def record_report(event: Any, queue: WorkQueue, spool: Spool) -> int:
    """Record the answer of an archive: kept results are sent, others are due again. Return the DICOM status."""
    try:
        with suppress_phi("The report of the archive cannot be read"):
            report = event.event_information
            failed = {str(one.ReferencedSOPInstanceUID) for one in report.get("FailedSOPSequence", ())}
            waiting = queue.find_uncommitted(str(report.TransactionUID))
            uids = [{_uids(one, spool, plain=plain)[1] for plain in (False, True)} for one in waiting]
        kept = [one for one, either in zip(waiting, uids, strict=True) if not either & failed]
        refused = [one for one, either in zip(waiting, uids, strict=True) if either & failed]
        queue.mark_sent(kept)
        queue.reschedule([(one, "not-committed", _REFUSED_SECONDS) for one in refused])
        unsent = queue.unsent_results([one.arrival_id for one in kept])
        paths = (
            spool.result_path(one.arrival_id, one.kind) for one in kept if (one.arrival_id, one.kind) not in unsent
        )
        spool.remove(*paths)
    except (CovidXrayError, OSError) as error:
        _LOG.warning("a report of storage commitment was not recorded (%s)", type(error).__name__)
        return _FAILURE
    _LOG.info("storage commitment: %d objects are kept, %d are not", len(kept), len(refused))
    return 0x0000


def _request(uids: Sequence[tuple[str, str]], transaction: str) -> Dataset:
    made, items = Dataset(), []
    for sop_class, sop_uid in uids:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, sop_uid
        items.append(item)
    made.TransactionUID, made.ReferencedSOPSequence = transaction, items
    return made


def _uids(one: Delivery, spool: Spool, *, plain: bool) -> tuple[str, str]:
    """Return SOP class and instance of a result from the header of its file, or those of its `plain` report."""
    meta = pydicom.filereader.read_file_meta_info(spool.result_path(one.arrival_id, one.kind))
    uid = str(meta.MediaStorageSOPInstanceUID)
    return (ComprehensiveSRStorage, comprehensive_uid(uid)) if plain else (str(meta.MediaStorageSOPClassUID), uid)
