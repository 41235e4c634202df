"""Accept received DICOM files: check, store and commit each, or say why it was refused.

C-STORE and DICOMweb pulls both come through here. A readable object that is no frontal chest radiograph is counted,
not stored.
"""

import queue as queues
import threading
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path

from covid_xray.errors import BadImage, Busy, InputRefused, StoreFull
from covid_xray.files import read_bounded
from covid_xray.images.sandbox import decode_limited
from covid_xray.limits import Limits
from covid_xray.pacs.decoded_images import DecodedImages
from covid_xray.pacs.refusals import RefusalLog
from covid_xray.pacs.settings import Pacs
from covid_xray.pacs.source_object import NoResult, Original, Tags, read_tags, require_frontal_chest
from covid_xray.pacs.spool import Spool
from covid_xray.pacs.work_queue import LIVE, NO_RESULT, PULLED, URGENT, Arrival, WorkQueue
from covid_xray.store.records import new_id

_TOO_MUCH = frozenset({"decode-timeout", "decode-memory", "too-large", "too-many-pixels"})  # for these limits
_MAX_COMMIT = 64  # arrivals per commit
_URGENT = ("STAT", "HIGH")  # values of RequestedProcedurePriority
_MAX_BYTES = 256 << 20  # of an object of another kind, whose tags alone are read


class Mismatch(InputRefused):
    """The data set is not the object that the C-STORE request announced."""

    dicom_status = 0xA900
    default_code = "mismatch"


@dataclass(frozen=True)
class AnnouncedObject:
    """The UIDs in a C-STORE request; empty where it gives none."""

    sop_class: str = ""
    sop_uid: str = ""


class Receiver:
    """Accept files. Thread-safe; a `with` block, at whose end everything begun is committed."""

    def __init__(
        self, settings: Pacs, queue: WorkQueue, spool: Spool, *, limits: Limits, decoded: DecodedImages | None = None
    ) -> None:
        self.queue, self.spool, self._decoded = queue, spool, decoded
        self._settings, self._limits, self.refusals = settings, limits, RefusalLog(queue.database)
        self._uncommitted: queues.SimpleQueue[tuple[Arrival, Future[bool]] | None] = queues.SimpleQueue()
        self._writer = threading.Thread(target=self._commit_until_closed, name="arrivals", daemon=True)
        self.wake = threading.Event()  # set when something waits to be classified

    def __enter__(self) -> "Receiver":
        self._writer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._uncommitted.put(None)
        self._writer.join()
        self.refusals.flush(force=True)

    def receive(
        self, received: Path, *, origin: str, announced: AnnouncedObject | None = None, priority: int = LIVE
    ) -> bool:
        """Store a file of the spool's `incoming` and commit its arrival; return whether it is new.

        An object that was sent (`LIVE`) and says that its procedure is urgent becomes `URGENT`.

        Raises:
            BadImage: it cannot be read.
            Mismatch: it is not the announced object.
            Busy, StoreFull: there is no room for it.
        """
        self.spool.check_room()
        tags = _read_announced(received, announced or AnnouncedObject(), limits=self._limits)
        priority = URGENT if priority == LIVE and tags.text("RequestedProcedurePriority") in _URGENT else priority
        arrival = Arrival(new_id(), origin, tags.study_uid, tags.sop_uid, tags.sha256, priority=priority)
        try:
            require_frontal_chest(tags)
        except NoResult as reason:
            if not self.queue.has_answered(tags.sop_uid):  # else the worker withdraws what was answered
                return self._commit(replace(arrival, state=NO_RESULT, code=reason.code))
        original = self._decode(received, tags)
        arrival = replace(arrival, sha256=original.sha256)
        if self.queue.contains(tags.sop_uid, arrival.sha256):  # in whatever encoding
            return False
        limit = self._settings.waiting // (2 if priority == PULLED else 1)
        if self.queue.count_waiting() >= limit:
            raise Busy(f"Too many objects wait: the limit is {limit:,}. Send it again later.")
        return self._store(received, arrival, original)

    def _store(self, received: Path, arrival: Arrival, original: Original) -> bool:
        """Keep the file and commit its arrival; return whether it is new."""
        self.spool.store_original(received, arrival.id)
        if self._decoded:
            self._decoded.put(arrival.id, original)
        new = False
        try:
            new = self._commit(arrival)
        finally:
            if not new:  # the commit failed, or another association committed the same object first
                self.spool.remove(self.spool.original_path(arrival.id))
                if self._decoded:
                    self._decoded.take(arrival.id)
        return new

    def _decode(self, received: Path, tags: Tags) -> Original:
        """Decode the pixels, which the identity of the object depends on. Raises `BadImage`, `StoreFull`."""
        try:
            return Original(tags, decode_limited(received, limits=self._limits))
        except BadImage as error:
            if error.code in _TOO_MUCH:
                raise StoreFull(error.message, code=error.code) from None
            raise

    def _commit(self, arrival: Arrival) -> bool:
        done: Future[bool] = Future()
        self._uncommitted.put((arrival, done))
        new = done.result()
        self.wake.set()
        return new

    def _commit_until_closed(self) -> None:
        """Commit all arrivals that wait at the moment in one transaction, again and again."""
        closed = False
        while not closed:
            batch = [self._uncommitted.get()]
            while len(batch) < _MAX_COMMIT and not self._uncommitted.empty():
                batch.append(self._uncommitted.get())
            closed = None in batch
            self._add([one for one in batch if one is not None])

    def _add(self, batch: list[tuple[Arrival, Future[bool]]]) -> None:
        if not batch:
            return
        try:
            added = self.queue.add([arrival for arrival, _ in batch])
        except Exception as error:
            for _, done in batch:
                done.set_exception(error)
            return
        for (_, done), new in zip(batch, added, strict=True):
            done.set_result(new)


def too_large(limit: int) -> StoreFull:
    """Make the error for an object of too many bytes."""
    return StoreFull(f"Larger than the limit of {limit:,} bytes.", code="too-large")


def _read_announced(received: Path, announced: AnnouncedObject, *, limits: Limits) -> Tags:
    try:
        tags = read_tags(read_bounded(received, limit=max(_MAX_BYTES, limits.upload_bytes)), limits=limits)
    except BadImage as error:
        raise (StoreFull(error.message, code=error.code) if error.code in _TOO_MUCH else error) from None
    except InputRefused:  # by `read_bounded`
        raise too_large(_MAX_BYTES) from None
    found = (tags.text("SOPClassUID"), tags.sop_uid)
    if (announced.sop_class or found[0], announced.sop_uid or found[1]) != found:
        raise Mismatch("The data set is not the object that the C-STORE request announced.")
    return tags
