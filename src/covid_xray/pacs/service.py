"""Settings and a predictor in, a running node out: it listens, answers, sends and clears up until it is stopped."""

import contextlib
import io
import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from PIL import Image

from covid_xray.errors import Busy, CovidXrayError, UsageError
from covid_xray.files import folder_lock
from covid_xray.images.sandbox import decode_limited
from covid_xray.inference.predictor import Predictor
from covid_xray.limits import Limits
from covid_xray.pacs.forwarder import Courier
from covid_xray.pacs.receiver import Intake
from covid_xray.pacs.results.result_objects import Maker
from covid_xray.pacs.settings import Pacs
from covid_xray.pacs.spool import Spool
from covid_xray.pacs.store_scp import Node, require_packages
from covid_xray.pacs.work_queue import Arrivals
from covid_xray.pacs.worker import Answerer
from covid_xray.store.image_files import ImageFiles
from covid_xray.store.records import thresholds
from covid_xray.store.store import Store, open_database

_PAUSE = 1.0  # seconds between looks for arrivals that another process took in
_SWEEP = 60.0  # seconds between sweeps
_LOG = logging.getLogger("covid_xray.pacs")


@dataclass(frozen=True, eq=False)
class Works:
    """The parts of one node that work without listening."""

    settings: Pacs
    store: Store
    arrivals: Arrivals
    spool: Spool
    intake: Intake
    answerer: Answerer
    couriers: tuple[Courier, ...]

    def answer_all(self) -> int:
        """Answer all that wait; returns how many. Raises `Busy`, `StoreFull`."""
        done = 0
        while answered := self.answerer.work():
            done += answered
        return done

    def send_all(self) -> None:
        """Send all that is due, each until its peer takes no more."""
        for courier in self.couriers:
            while courier.bring():
                pass

    def sweep(self) -> None:
        """Delete what is done with: files, old rows, old studies."""
        _clear_spool(self.spool, self.arrivals)
        self.arrivals.forget(hours=self.settings.retention_hours)
        self.store.expire(hours=self.settings.retention_hours)
        self.store.images.rescan()


@dataclass(frozen=True, eq=False)
class Door:
    """The parts of a node that take objects in; several processes may have one on the same store."""

    store: Store
    arrivals: Arrivals
    spool: Spool
    intake: Intake


@contextlib.contextmanager
def door(settings: Pacs, *, limits: Limits) -> Iterator[Door]:
    """A door to the store. Raises `Busy`, `UsageError`, `MissingPackage` of the database."""
    settings.store.expanduser().mkdir(parents=True, exist_ok=True, mode=0o700)
    with contextlib.closing(open_database(settings.serving())) as database:
        shelf = ImageFiles(settings.store.expanduser() / "images", quota=settings.quota_bytes)
        store, arrivals = Store(database, shelf, limits=limits), Arrivals(database)
        spool = Spool(settings.folder, reserve=settings.reserve_bytes)
        with Intake(settings, arrivals, spool, limits=limits) as intake:
            yield Door(store, arrivals, spool, intake)


@contextlib.contextmanager
def works(settings: Pacs, predictor: Predictor) -> Iterator[Works]:
    """The works on their folder, which they hold alone.

    Raises:
        Busy: another node works there, or the database does not answer.
        UsageError, MissingPackage: settings and packages.
    """
    maker = Maker(predictor, kinds=settings.results, share=settings.share)
    points = thresholds(predictor.bundle.facts.get("operating_points"))
    with folder_lock(settings.folder), door(settings, limits=predictor.limits) as entry:
        arrivals, spool, store = entry.arrivals, entry.spool, entry.store
        _clear_spool(spool, arrivals)
        _clear_shelf(settings, store)
        answerer = Answerer(settings, arrivals, spool, store, maker, thresholds=points)
        couriers = tuple(Courier(name, settings, arrivals, spool) for name in settings.send_to)
        yield Works(settings, store, arrivals, spool, entry.intake, answerer, couriers)


def serve(settings: Pacs, predictor: Predictor, *, ready: Callable[[int], None], stopping: threading.Event) -> None:
    """Listen, answer and send until `stopping` is set; what is under way is brought to its end.

    Args:
        settings: of the node.
        predictor: answers.
        ready: told the port when the node listens.
        stopping: ends it.

    Raises:
        UsageError: no callers, or an address that is taken.
        Busy: another node works on this store.
    """
    require_packages()
    if not settings.callers:
        raise UsageError("expected callers: the AE titles that may send to this node. Received: none")
    _warm_up(predictor.limits)
    with works(settings, predictor) as parts:
        node = Node(settings, parts.intake, parts.spool, limits=predictor.limits)
        for courier in parts.couriers:
            courier.start()
        try:
            with node.listening() as port:
                ready(port)
                _work(parts, stopping)
        finally:
            for courier in parts.couriers:
                courier.stop()
            for courier in parts.couriers:
                courier.join()


def _warm_up(limits: Limits) -> None:
    """Start a decoding process now: some senders wait ten seconds for an answer, and the first would wait for it."""
    stream = io.BytesIO()
    Image.new("L", (8, 8)).save(stream, "PNG")
    with contextlib.suppress(CovidXrayError):  # on a machine that is very busy it is only later
        decode_limited(stream.getvalue(), limits=limits)


def _work(parts: Works, stopping: threading.Event) -> None:
    swept = time.monotonic()
    while not stopping.is_set():
        try:
            answered = parts.answerer.work()
            if time.monotonic() - swept > _SWEEP:
                parts.sweep()
                swept = time.monotonic()
        except (CovidXrayError, OSError) as error:  # the store or the disk: all of it is still there, a little later
            _LOG.warning("answers wait (%s)", error.code if isinstance(error, CovidXrayError) else "disk")
            stopping.wait(_PAUSE)
            continue
        for courier in parts.couriers if answered else ():
            courier.news.set()
        if not answered:
            parts.intake.news.wait(_PAUSE)
            parts.intake.news.clear()


def _clear_spool(spool: Spool, arrivals: Arrivals) -> None:
    """Delete the files that nobody waits for; in this order, so that what is answered meanwhile counts as open."""
    waiting = arrivals.open_arrivals()
    done = arrivals.done(spool.identities() - waiting)
    spool.clear(arrivals=waiting, deliveries=arrivals.open_deliveries(), done=done)


def _clear_shelf(settings: Pacs, store: Store) -> None:
    """Clear the images without a study, unless a server does so by itself."""
    with contextlib.suppress(Busy), folder_lock(settings.store.expanduser()):
        store.clear_orphans()
