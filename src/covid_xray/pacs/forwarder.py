"""Send result objects to one peer, retrying with growing delays; each peer has a thread and delays no other.

What the peer never takes is skipped, with one line in the log for each kind.
"""

import logging
import threading
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path

from covid_xray.errors import CovidXrayError
from covid_xray.pacs.commitment import request_commitment
from covid_xray.pacs.outage import Outage
from covid_xray.pacs.report_delivery import send_by_mllp, send_to_fhir, send_to_folder
from covid_xray.pacs.settings import Pacs
from covid_xray.pacs.spool import Spool
from covid_xray.pacs.store_scu import NOT_ACCEPTED, PeerFailed, SendResult, send
from covid_xray.pacs.work_queue import Delivery, WorkQueue
from covid_xray.store.records import now

_BATCH = 30  # objects per association
_POLL_SECONDS = 1.0
_LOG = logging.getLogger("covid_xray.pacs")


class Forwarder(threading.Thread):
    """Send the peer called `name` its objects until stopped."""

    def __init__(self, name: str, settings: Pacs, queue: WorkQueue, spool: Spool) -> None:
        super().__init__(name=f"to {name}", daemon=True)
        self._peer, self._settings, self._queue, self._spool = name, settings, queue, spool
        self._stopping, self.wake = threading.Event(), threading.Event()
        self._outage, self._pause = Outage(f"peer {name}", longest=settings.retry_longest), 0.0
        self._skipped: set[str] = set()  # kinds

    def run(self) -> None:
        """Send what is due, again and again."""
        while not self._stopping.is_set():
            try:
                sent = self.forward_due()
            except Exception as error:  # the database, the disk, a library: try again later
                self._pause = self._outage.failed(
                    error.code if isinstance(error, CovidXrayError) else type(error).__name__
                )
                sent = 0
            if self._pause:
                self._stopping.wait(self._pause)
            elif not sent:
                self.wake.wait(_POLL_SECONDS)
                self.wake.clear()

    def stop(self) -> None:
        """End the thread after the object that is under way."""
        self._stopping.set()
        self.wake.set()

    def forward_due(self) -> int:
        """Send one batch of what is due; return how many objects the peer accepted."""
        self._pause = 0.0
        due = self._queue.due_deliveries(self._peer, limit=_BATCH)
        found = [(one, path.read_bytes()) for one in due if (path := self._path(one)).is_file()]
        lost = [one for one in due if one not in [kept for kept, _ in found]]
        if lost:  # deleted by hand
            self._queue.reschedule([(one, "no-file", None) for one in lost])
        if not found:
            return 0
        results = list(self._send([data for _, data in found]))
        return self._record([(one, result) for (one, _), result in zip(found, results, strict=True)])

    def _send(self, files: Sequence[bytes]) -> Iterator[SendResult]:
        peer = self._settings.peer(self._peer)
        if peer.folder:
            return send_to_folder(peer, files)
        if peer.fhir:
            return send_to_fhir(peer, files)
        if peer.hl7:
            return send_by_mllp(self._settings, peer, files)
        return send(self._settings, peer, files)

    def _record(self, tried: Sequence[tuple[Delivery, SendResult]]) -> int:
        sent = [one for one, result in tried if not result.code]
        plain = [one for one, result in tried if not result.code and result.plain]
        skipped = [one for one, result in tried if result.code == NOT_ACCEPTED]
        failed = [
            (one, result.code, self._delay(one)) for one, result in tried if result.code not in ("", NOT_ACCEPTED)
        ]
        if sent:
            _LOG.info("peer %s: %d objects sent", self._peer, len(sent))
            failed += self._finish(sent, plain=plain)
        if skipped:
            self._skip(skipped)
            self._delete_files(skipped)
        self._note_failures(failed, all_failed=len(failed) == len(tried))
        return len(sent)

    def _finish(
        self, sent: Sequence[Delivery], *, plain: Sequence[Delivery]
    ) -> list[tuple[Delivery, str, float | None]]:
        """Record what was sent, or ask the peer to confirm first that it keeps it; return what it does not confirm."""
        peer = self._settings.peer(self._peer)
        if not peer.commitment or not peer.is_dicom:
            self._queue.mark_sent(sent)
            self._delete_files(sent)
            return []
        try:
            request_commitment(self._settings, peer, sent, plain=plain, queue=self._queue, spool=self._spool)
        except PeerFailed as error:
            code = "no-commitment" if error.code == NOT_ACCEPTED else error.code
            return [(one, code, self._delay(one)) for one in sent]
        return []

    def _skip(self, skipped: Sequence[Delivery]) -> None:
        """Never send these again, and say so once for each kind."""
        self._queue.skip(skipped, NOT_ACCEPTED)
        for kind in sorted({one.kind for one in skipped} - self._skipped):
            self._skipped.add(kind)
            _LOG.warning("peer %s takes no %s: those are skipped", self._peer, kind)

    def _note_failures(self, failed: Sequence[tuple[Delivery, str, float | None]], *, all_failed: bool) -> None:
        """Schedule the next tries; when nothing was accepted, pause before the next batch."""
        if failed:
            self._queue.reschedule(failed)
        codes = sorted({code for _, code, _ in failed})
        if all_failed:
            self._pause = self._outage.failed(", ".join(codes))
            return
        self._outage.over()
        for code in codes:
            count = sum(code == other for _, other, _ in failed)
            _LOG.warning("peer %s: %d objects not sent (%s)", self._peer, count, code)

    def _delay(self, one: Delivery) -> float | None:
        """Return the seconds until the next try, doubled each time; `None` when it is too old for another."""
        if now() - one.created > timedelta(hours=self._settings.give_up_hours):
            return None
        return float(min(self._settings.retry_longest, self._settings.retry_seconds * 2.0 ** min(one.tries, 30)))

    def _delete_files(self, sent: Sequence[Delivery]) -> None:
        """Delete the files that no other peer waits for."""
        unsent = self._queue.unsent_results([one.arrival_id for one in sent])
        self._spool.remove(*(self._path(one) for one in sent if (one.arrival_id, one.kind) not in unsent))

    def _path(self, one: Delivery) -> Path:
        return self._spool.result_path(one.arrival_id, one.kind)
