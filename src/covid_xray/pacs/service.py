"""Run the DICOM node: receive, classify, send and clean up until it is stopped."""

import contextlib
import ctypes
import io
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
from covid_xray.pacs.decoded_images import DecodedImages
from covid_xray.pacs.forwarder import Forwarder
from covid_xray.pacs.metrics import exposed
from covid_xray.pacs.outage import Outage
from covid_xray.pacs.receiver import Receiver
from covid_xray.pacs.results.result_objects import ResultBuilder
from covid_xray.pacs.settings import Pacs
from covid_xray.pacs.spool import Spool
from covid_xray.pacs.store_scp import StoreScp, require_packages
from covid_xray.pacs.work_queue import WorkQueue
from covid_xray.pacs.worker import InferenceWorker
from covid_xray.store.drift.monitor import DriftMonitor
from covid_xray.store.image_files import ImageFiles, private_folder
from covid_xray.store.records import thresholds
from covid_xray.store.store import Store, open_database

_POLL_SECONDS = 1.0  # between looks for objects that another process received
_CLEANUP_SECONDS = 60.0
_M_MMAP_THRESHOLD, _LARGE_BUFFER = -3, 4 << 20  # of malloc.h; bytes


@dataclass(frozen=True, eq=False)
class NodeServices:
    """The parts of one node, without the network server."""

    settings: Pacs
    store: Store
    queue: WorkQueue
    spool: Spool
    receiver: Receiver
    worker: InferenceWorker
    drift: DriftMonitor
    forwarders: tuple[Forwarder, ...]

    def classify_all(self) -> int:
        """Classify all waiting objects; return how many. Raises `Busy`, `StoreFull`."""
        total = 0
        while done := self.worker.process_batch():
            total += done
        self.worker.close_studies(quiet_seconds=0)
        return total

    def send_all(self) -> None:
        """Send all results that are due, to each peer until it accepts no more."""
        for forwarder in self.forwarders:
            while forwarder.forward_due():
                pass

    def clean_up(self) -> None:
        """Delete files, rows and studies that are no longer needed or too old, and check the answers for drift."""
        _clean_spool(self.spool, self.queue)
        self.queue.delete_finished(hours=self.settings.retention_hours)
        self.store.expire(hours=self.settings.retention_hours)
        self.worker.made.expire(hours=self.settings.retention_hours)
        self.store.images.rescan()
        self.drift.flush()


@contextlib.contextmanager
def open_receiver(settings: Pacs, *, limits: Limits, decoded: DecodedImages | None = None) -> Iterator[Receiver]:
    """Open the part of a node that accepts objects; several processes may do so on one store.

    What it decoded it keeps in `decoded`, for a worker in the same process.

    Raises `Busy`, `UsageError`, `MissingPackage` of the database.
    """
    _make_folders(settings)
    spool = Spool(settings.folder, reserve=settings.reserve_bytes)
    with (
        contextlib.closing(open_database(settings.serving())) as database,
        Receiver(settings, WorkQueue(database), spool, limits=limits, decoded=decoded) as receiver,
    ):
        yield receiver


@contextlib.contextmanager
def open_services(settings: Pacs, predictor: Predictor) -> Iterator[NodeServices]:
    """Open all parts of a node, with an exclusive lock on its folder.

    Raises `Busy` when another node uses this store or the database does not answer, `UsageError`, `MissingPackage`.
    """
    builder = ResultBuilder(predictor, kinds=settings.results, share=settings.share)
    points = thresholds(predictor.bundle.contents.operating_points)
    _make_folders(settings)
    decoded = DecodedImages()
    opened = open_receiver(settings, limits=predictor.limits, decoded=decoded)
    with folder_lock(settings.folder), opened as receiver:
        queue, spool = receiver.queue, receiver.spool
        images = ImageFiles(settings.store.expanduser() / "images", quota=settings.quota_bytes)
        store = Store(queue.database, images, limits=predictor.limits)
        _clean_spool(spool, queue)
        with contextlib.suppress(Busy), folder_lock(settings.store.expanduser()):  # a running server does it itself
            store.clear_orphans()
        reference = settings.drift_reference
        drift = DriftMonitor(queue.database, model_sha256=predictor.identity.sha256, reference=reference)
        worker = InferenceWorker(settings, queue, spool, store, builder, drift, thresholds=points, decoded=decoded)
        peers = () if settings.test_mode else settings.send_to
        forwarders = tuple(Forwarder(name, settings, queue, spool) for name in peers)
        try:
            yield NodeServices(settings, store, queue, spool, receiver, worker, drift, forwarders)
        finally:
            with contextlib.suppress(CovidXrayError):
                drift.flush()


def serve(settings: Pacs, predictor: Predictor, *, ready: Callable[[int], None], stopping: threading.Event) -> None:
    """Receive, classify and send until `stopping` is set; call `ready` with the port once the node listens.

    Raises:
        UsageError: no callers are configured, or the address is in use.
        Busy: another node uses this store.
    """
    require_packages()
    if not settings.callers:
        raise UsageError("No callers are configured. Set `callers` to the AE titles that may send to this node.")
    _return_large_buffers()
    _warm_up(predictor.limits)
    with open_services(settings, predictor) as services:
        server = StoreScp(settings, services.receiver, limits=predictor.limits)
        for forwarder in services.forwarders:
            forwarder.start()
        try:
            with exposed(settings, services.queue), server.listening() as port:
                ready(port)
                _process_until(stopping, services)
        finally:
            for forwarder in services.forwarders:
                forwarder.stop()
            for forwarder in services.forwarders:
                forwarder.join()


def _return_large_buffers() -> None:
    """Let glibc give the memory of each film back at once: it would keep 100 MB of them for the next ones."""
    with contextlib.suppress(AttributeError):  # another C library
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE_BUFFER)


def _warm_up(limits: Limits) -> None:
    """Start a decoding process now: some senders wait ten seconds for a response, and its start takes seconds."""
    stream = io.BytesIO()
    Image.new("L", (8, 8)).save(stream, "PNG")
    with contextlib.suppress(CovidXrayError):  # on a busy machine it starts later
        decode_limited(stream.getvalue(), limits=limits)


def _process_until(stopping: threading.Event, services: NodeServices) -> None:
    cleaned, outage = time.monotonic(), Outage("answers wait")
    while not stopping.is_set():
        services.receiver.refusals.flush()
        try:
            done = services.worker.process_batch()
            closed = services.worker.close_studies()
            if time.monotonic() - cleaned > _CLEANUP_SECONDS:
                services.clean_up()
                cleaned = time.monotonic()
        except (CovidXrayError, OSError) as error:  # the store or the disk: try again later
            seconds = outage.failed(error.code if isinstance(error, CovidXrayError) else "disk")
            with contextlib.suppress(CovidXrayError, OSError):  # what frees the disk is still done
                services.clean_up()
            stopping.wait(seconds)
            continue
        outage.over()
        for forwarder in services.forwarders if done or closed else ():
            forwarder.wake.set()
        if not done:
            services.receiver.wake.wait(_POLL_SECONDS)
            services.receiver.wake.clear()


def _make_folders(settings: Pacs) -> None:
    """Make the folders of the node for its owner only. A store that exists keeps its mode, those in it do not."""
    settings.store.expanduser().mkdir(parents=True, exist_ok=True, mode=0o700)
    private_folder(settings.folder)


def _clean_spool(spool: Spool, queue: WorkQueue) -> None:
    """Delete unneeded files. The order of the queries matters: what finishes meanwhile must count as open."""
    waiting = queue.waiting_ids()
    finished = queue.finished_ids(spool.arrival_ids() - waiting)
    spool.delete_unneeded(waiting=waiting, unsent=queue.unsent_results(), finished=finished)
