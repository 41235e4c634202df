"""A received file in, an arrival that is on disk and committed out, or the reason why nothing was stored.

The door of the node: C-STORE and DICOMweb pulls both come through here. Only what can be read is let in; what can be
read but is no frontal chest radiograph is kept account of and not kept.
"""

import queue
import threading
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

from covid_xray.errors import BadImage, Busy, InputRefused, StoreFull
from covid_xray.files import read_bounded
from covid_xray.images.sandbox import decode_limited
from covid_xray.limits import Limits
from covid_xray.pacs.settings import Pacs
from covid_xray.pacs.source_object import NoResult, Tags, check_kind, read_tags
from covid_xray.pacs.spool import Spool
from covid_xray.pacs.work_queue import NO_RESULT, Arrival, Arrivals
from covid_xray.store.records import new_id

_TOGETHER = 64  # arrivals of one commit
_MOST_ANY = 256 << 20  # bytes of an object of another kind, which is only looked at


class Mismatch(InputRefused):
    """The data set is not the object that the message announced."""

    dicom_status = 0xA900
    default_code = "mismatch"


@dataclass(frozen=True)
class Announced:
    """What a C-STORE request says of the object that it brings; empty where nothing was said."""

    sop_class: str = ""
    sop_uid: str = ""


class Intake:
    """Takes files in. Thread-safe; use it inside a `with` block, at whose end all that was begun is committed.

    Args:
        settings: of the node.
        arrivals, spool: where they are kept.
        limits: what an image may cost.
    """

    def __init__(self, settings: Pacs, arrivals: Arrivals, spool: Spool, *, limits: Limits) -> None:
        self._settings, self._arrivals, self._spool, self._limits = settings, arrivals, spool, limits
        self._queue: queue.SimpleQueue[tuple[Arrival, Future[bool]] | None] = queue.SimpleQueue()
        self._writer = threading.Thread(target=self._write, name="arrivals", daemon=True)
        self.news = threading.Event()  # set when something waits for its answer

    def __enter__(self) -> "Intake":
        self._writer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._queue.put(None)
        self._writer.join()

    def take(self, received: Path, *, origin: str, announced: Announced | None = None) -> bool:
        """Take a file that lies in the spool's `incoming`; it stays there, too. Whether it is new.

        Raises:
            BadImage: it cannot be read.
            Mismatch: it is another object than was announced.
            Busy, StoreFull: there is no room for it.
        """
        self._spool.check_room()
        tags = self._look(received, announced or Announced())
        if self._arrivals.known(tags.sop_uid, tags.sha256):
            return False
        arrival = Arrival(new_id(), origin, tags.study_uid, tags.sop_uid, tags.sha256)
        try:
            check_kind(tags)
        except NoResult as reason:  # counted and not kept
            return self._commit(Arrival(**{**vars(arrival), "state": NO_RESULT, "code": reason.code}))
        self._check(received)
        self._spool.adopt(received, arrival.id)
        try:
            new = self._commit(arrival)
        except BaseException:
            self._spool.remove(self._spool.original(arrival.id))
            raise
        if not new:  # another association was faster with the same object
            self._spool.remove(self._spool.original(arrival.id))
        return new

    def _look(self, received: Path, announced: Announced) -> Tags:
        tags = read_tags(read_bounded(received, limit=_MOST_ANY))
        said = (announced.sop_class or tags.text("SOPClassUID"), announced.sop_uid or tags.sop_uid)
        if said != (tags.text("SOPClassUID"), tags.sop_uid):
            raise Mismatch("expected the object that was announced. Received: another one")
        return tags

    def _check(self, received: Path) -> None:
        """Whether its pixels can be read, and there is room for one more."""
        if self._arrivals.waiting() >= self._settings.waiting:
            raise Busy(f"expected at most {self._settings.waiting:,} objects to wait. Received: one more")
        try:
            decode_limited(received, limits=self._limits)
        except BadImage as error:
            if error.code in ("decode-timeout", "decode-memory"):
                raise StoreFull("expected an image within the limits of time and memory. Received: none") from None
            raise

    def _commit(self, arrival: Arrival) -> bool:
        done: Future[bool] = Future()
        self._queue.put((arrival, done))
        new = done.result()
        self.news.set()
        return new

    def _write(self) -> None:
        """One commit for all arrivals that wait for one."""
        ended = False
        while not ended:
            together = [self._queue.get()]
            while len(together) < _TOGETHER and not self._queue.empty():
                together.append(self._queue.get())
            ended = None in together
            self._add([one for one in together if one is not None])

    def _add(self, together: list[tuple[Arrival, Future[bool]]]) -> None:
        if not together:
            return
        try:
            added = self._arrivals.add([arrival for arrival, _ in together])
        except Exception as error:
            for _, done in together:
                done.set_exception(error)
            return
        for (_, done), new in zip(together, added, strict=True):
            done.set_result(new)
