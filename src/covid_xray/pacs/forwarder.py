"""Deliveries that are due in, peers that have their objects out; what fails comes again, later and later.

One thread for each peer, so that one that is down keeps none of the others waiting.
"""

import logging
import threading
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from covid_xray.errors import CovidXrayError
from covid_xray.pacs.settings import Pacs
from covid_xray.pacs.spool import Spool
from covid_xray.pacs.store_scu import Sent, send
from covid_xray.pacs.work_queue import Arrivals, Delivery
from covid_xray.store.records import now

_TOGETHER = 30  # objects of one association
_PAUSE = 1.0  # seconds between looks for what is due
_LOG = logging.getLogger("covid_xray.pacs")


class Courier(threading.Thread):
    """Brings one peer its objects until it is stopped.

    Args:
        name: of the peer.
        settings: of the node.
        arrivals, spool: what is to be sent, and where it lies.
    """

    def __init__(self, name: str, settings: Pacs, arrivals: Arrivals, spool: Spool) -> None:
        super().__init__(name=f"to {name}", daemon=True)
        self._peer, self._settings, self._arrivals, self._spool = name, settings, arrivals, spool
        self._stopping, self.news = threading.Event(), threading.Event()

    def run(self) -> None:
        """Bring, wait, bring."""
        while not self._stopping.is_set():
            try:
                brought = self.bring()
            except Exception as error:  # the database, the disk, a library: all of it is still there, a little later
                said = error.code if isinstance(error, CovidXrayError) else type(error).__name__
                _LOG.warning("peer %s: %s", self._peer, said)
                brought = 0
            if not brought:
                self.news.wait(_PAUSE)
                self.news.clear()

    def stop(self) -> None:
        """End after what is on its way."""
        self._stopping.set()
        self.news.set()

    def bring(self) -> int:
        """Send some of what is due; returns how many objects the peer took."""
        due = self._arrivals.due(self._peer, limit=_TOGETHER)
        there = [(one, path.read_bytes()) for one in due if (path := self._path(one)).is_file()]
        lost = [one for one in due if one not in [kept for kept, _ in there]]
        if lost:  # deleted by hand
            self._arrivals.put_off(lost, codes=["no-file"] * len(lost), waits=[None] * len(lost))
        if not there:
            return 0
        outcomes = list(send(self._settings, self._settings.peer(self._peer), [data for _, data in there]))
        return self._note([one for one, _ in there], outcomes)

    def _note(self, tried: Sequence[Delivery], outcomes: Sequence[Sent]) -> int:
        done = [one for one, outcome in zip(tried, outcomes, strict=True) if not outcome.code]
        failed = [(one, outcome.code) for one, outcome in zip(tried, outcomes, strict=True) if outcome.code]
        if done:
            self._arrivals.sent(done)
            self._clear(done)
        if failed:
            waits = [self._wait(one) for one, _ in failed]
            codes = [code for _, code in failed]
            self._arrivals.put_off([one for one, _ in failed], codes=codes, waits=waits)
        for code in sorted({code for _, code in failed}):
            count = sum(code == other for _, other in failed)
            _LOG.warning("peer %s: %d objects not sent (%s)", self._peer, count, code)
        if done:
            _LOG.info("peer %s: %d objects sent", self._peer, len(done))
        return len(done)

    def _wait(self, one: Delivery) -> float | None:
        """Seconds until the next try, doubled each time; `None` when it is too old to try again."""
        if now() - one.created > timedelta(hours=self._settings.give_up_hours):
            return None
        return float(min(self._settings.retry_longest, self._settings.retry_seconds * 2.0 ** min(one.tries, 30)))

    def _clear(self, done: Sequence[Delivery]) -> None:
        """Delete the files that no peer waits for any more."""
        still = self._arrivals.open_deliveries([one.arrival_id for one in done])
        self._spool.remove(*(self._path(one) for one in done if (one.arrival_id, one.kind) not in still))

    def _path(self, one: Delivery) -> Path:
        return self._spool.result(one.arrival_id, one.kind)
