"""One server: an upload in, a stored study out, and what the routes share.

An upload is decoded in a limited child and written to the shelf by one of a few threads, which is all that holds whole
pictures; its small input then waits for the network with others, and its finding for the database with others.
"""

import asyncio
import contextlib
import dataclasses
import json
import secrets
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from covid_xray.config import Serving
from covid_xray.errors import CovidXrayError, InputRefused
from covid_xray.files import folder_lock, replacing, sha256_bytes
from covid_xray.images.radiograph import ImageSource
from covid_xray.images.sandbox import MAX_WORKERS
from covid_xray.inference.finding import Finding
from covid_xray.inference.io.inputs import open_source
from covid_xray.inference.io.joint_rows import joint_as_dict
from covid_xray.inference.predictor import Predictor
from covid_xray.inference.view import View
from covid_xray.serving.batching import Batcher, Gate
from covid_xray.serving.jobs import Jobs
from covid_xray.serving.prometheus import Gauges
from covid_xray.serving.rates import Rate
from covid_xray.store.accounts import Accounts
from covid_xray.store.audit_log import AuditLog
from covid_xray.store.image_files import ImageFiles
from covid_xray.store.records import Key, NewStudy, Study, Upload, new_id, thresholds
from covid_xray.store.store import Store, open_database

_SWEEP_SECONDS = 60.0


@dataclass(frozen=True, eq=False)
class _Read:
    """An upload that is decoded and on the shelf: what the network and the database need of it."""

    id: str
    view: View
    bytes: int
    shape: tuple[int, int]
    bits: int
    source: ImageSource
    sha256: str


class Service:
    """What one running server holds. Use `running`."""

    def __init__(self, settings: Serving, predictor: Predictor, store: Store) -> None:
        self.settings, self.predictor, self.store = settings, predictor, store
        self.secret = _secret(settings.store.expanduser() / "secret")
        self.accounts, self.audit = Accounts(store.database), AuditLog(store)
        self.requests = Rate(settings.requests_per_minute)
        self.failed_logins = Rate(settings.logins_per_minute)
        self.gauges = Gauges()
        self.gate = Gate(concurrency=predictor.limits.concurrency, queue=predictor.limits.queue)
        self.jobs = Jobs(self, settings.store.expanduser() / "inbox")
        self._readers = ThreadPoolExecutor(MAX_WORKERS, thread_name_prefix="read")
        self._network: Batcher[View, Finding] = Batcher(
            self._find, largest=settings.batch, name="network", seen=self.gauges.batches.observe
        )
        self._writer: Batcher[NewStudy, Study] = Batcher(store.add_many, largest=64, name="writer")
        self._watch()

    async def answer(
        self, upload: Upload, *, uploader: str, key: str | None = None, job_item: tuple[str, int] | None = None
    ) -> Study:
        """Read, answer and store one image; it is on disk when this returns.

        Args:
            upload: the file.
            uploader: who sent it.
            key: the same file sent again with the same key gives the same study.
            job_item: job and number, when it belongs to a batch.

        Raises:
            BadImage: the file is no readable radiograph.
            InputRefused: the key was given with another file (`key-reused`).
            Busy, StoreFull: the store does not take it.
        """
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._readers, self._read, upload, key)
        if isinstance(found, Study):
            return found
        try:
            finding = await self._network.submit(found.view)
            if upload.known:
                finding = await loop.run_in_executor(self._readers, self.predictor.join, finding, upload.known)
            study = await self._writer.submit(self._new(found, finding, upload, uploader, key, job_item))
        except Exception:  # not when cancelled: the writer may be at it; an orphan is cleared at the next start
            await loop.run_in_executor(self._readers, self.store.images.remove, found.id)
            raise
        self.gauges.answers.labels(study.label).inc()
        return study

    async def join(self, study: Study, known: Mapping[str, float]) -> Study:
        """Store the joint answer for a study and what is known of its patient; without values it is taken away.

        Args:
            study: of the network that is loaded now; its image is read again from the shelf.
            known: of `clinical.record`; the predictor has an input for it.

        Raises:
            InputRefused: another network answered for the study (`other-model`).
            NotFound: it has gone meanwhile.
            Busy: the server is being stopped, or the database.
        """
        if not known:
            return await asyncio.to_thread(self.store.set_joint, study.id, None)
        if study.model != self.predictor.identity:
            raise InputRefused(
                "expected a study of the network that is loaded now. Received: one of another; send the image again",
                code="other-model",
            )
        loop = asyncio.get_running_loop()
        view = await loop.run_in_executor(self._readers, lambda: self.predictor.view(self.store.radiograph(study)))
        finding = dataclasses.replace(await self._network.submit(view), gate=study.finding["gate"])
        joined = await loop.run_in_executor(self._readers, self.predictor.join, finding, known)
        assert joined.joint
        return await asyncio.to_thread(self.store.set_joint, study.id, joint_as_dict(joined.joint))

    def _read(self, upload: Upload, key: str | None) -> "_Read | Study":
        data = upload.read()
        sha256 = sha256_bytes(data)
        asked = _body_sha256(sha256, upload.known)
        known = self.store.result_of_key(Key(key, asked)) if key else None
        if known:
            return self.store.study(known)
        radiograph = open_source(data, limits=self.predictor.limits, untrusted=True)
        view = self.predictor.view(radiograph)
        identity = new_id()
        size = self.store.images.put(identity, radiograph)
        height, width = radiograph.pixels.shape
        return _Read(identity, view, size, (height, width), radiograph.bits, radiograph.source, sha256)

    def _find(self, views: list[View]) -> list[Finding | Exception]:
        return [*self.predictor.answers([""] * len(views), views, class_maps=True)]

    def _new(
        self,
        read: _Read,
        finding: Finding,
        upload: Upload,
        uploader: str,
        key: str | None,
        job_item: tuple[str, int] | None,
    ) -> NewStudy:
        return NewStudy(
            id=read.id,
            name=upload.name,
            uploader=uploader,
            upload_sha256=read.sha256,
            bytes=read.bytes,
            shape=read.shape,
            bits=read.bits,
            source=read.source,
            finding=finding,
            thresholds=thresholds(self.predictor.bundle.facts.get("operating_points")),
            key=Key(key, _body_sha256(read.sha256, upload.known)) if key else None,
            job_item=job_item,
        )

    def _watch(self) -> None:
        self.gauges.model.labels(*vars(self.predictor.identity).values()).set(1)
        self.gauges.watch("covid_xray_uploads_working", "Uploads that are worked on.", lambda: self.gate.working)
        self.gauges.watch("covid_xray_uploads_waiting", "Uploads that arrive or wait.", lambda: self.gate.waiting)
        self.gauges.watch("covid_xray_store_bytes", "Bytes of stored images.", lambda: self.store.images.used)

    @contextlib.asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """The time in which requests are answered; at its end those under way have their answers."""
        async with self._network, self._writer:
            tasks = [asyncio.create_task(self._sweep()), asyncio.create_task(self.jobs.work())]
            try:
                yield
            finally:
                self.gate.closed = True
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                await asyncio.to_thread(self._readers.shutdown)

    async def _sweep(self) -> None:
        while True:
            with contextlib.suppress(CovidXrayError):  # the next time, then
                await asyncio.to_thread(self.store.expire, hours=self.settings.retention_hours)
                await asyncio.to_thread(self.store.images.rescan)  # a DICOM node adds and removes images too
            await asyncio.sleep(_SWEEP_SECONDS)


@contextlib.asynccontextmanager
async def running(settings: Serving, predictor: Predictor) -> AsyncIterator[Service]:
    """A service on its store, which it holds alone.

    Raises:
        Busy: another process serves from this store, or the database does not answer.
        UsageError, MissingPackage: the database's URL.
    """
    folder = settings.store.expanduser()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with folder_lock(folder), contextlib.closing(open_database(settings)) as database:
        shelf = ImageFiles(folder / "images", quota=settings.quota_bytes)
        store = Store(database, shelf, limits=predictor.limits)
        store.clear_orphans()
        service = Service(settings, predictor, store)
        async with service.working():
            yield service


def _body_sha256(file: str, known: Mapping[str, float]) -> str:
    """The SHA-256 that an Idempotency-Key is bound to: of the file, and of what else came with it."""
    return sha256_bytes(json.dumps([file, dict(known)], sort_keys=True).encode()) if known else file


def _secret(file: Path) -> bytes:
    """32 random bytes that outlive a restart, so that open pages stay valid."""
    with contextlib.suppress(FileNotFoundError):
        if len(secret := file.read_bytes()) == 32:
            return secret
    secret = secrets.token_bytes(32)
    with replacing(file) as temporary:
        temporary.chmod(0o600)
        temporary.write_bytes(secret)
    return secret
