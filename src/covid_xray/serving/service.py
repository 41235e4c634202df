"""Decode, classify and store uploads, and hold what the routes of one server share.

A few threads decode an upload in a limited child process and write its image file; only they hold whole pictures. The
small network input then waits for the next run of the network, and the finding for the next database transaction.
"""

import asyncio
import contextlib
import dataclasses
import functools
import json
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

from covid_xray.config import Serving
from covid_xray.errors import BadImage, CovidXrayError, InputRefused
from covid_xray.files import folder_lock, sha256_bytes
from covid_xray.images.sandbox import MAX_WORKERS
from covid_xray.inference.finding import Failure, Finding
from covid_xray.inference.io.inputs import open_source
from covid_xray.inference.io.joint_rows import joint_as_dict
from covid_xray.inference.predictor import Predictor
from covid_xray.inference.site.close_call import settle
from covid_xray.inference.view import View
from covid_xray.serving.batching import Admission, Batcher
from covid_xray.serving.jobs import Jobs
from covid_xray.serving.prometheus import Metrics
from covid_xray.serving.rates import RateLimit
from covid_xray.serving.webhooks import Webhooks
from covid_xray.store import audit_chain, refusals, trash
from covid_xray.store.accounts import Accounts
from covid_xray.store.audit_log import AuditLog
from covid_xray.store.drift.monitor import DriftMonitor
from covid_xray.store.image_files import ImageFiles
from covid_xray.store.lockouts import Lockouts
from covid_xray.store.patient_key import patient_key, read_secret
from covid_xray.store.records import Key, NewStudy, Study, Upload, new_id, thresholds
from covid_xray.store.store import Store, open_database

_SWEEP_SECONDS = 60.0


@dataclasses.dataclass(frozen=True, eq=False)
class _Decoded:
    """A decoded upload whose image file is written: the network input, and the study once there is a finding."""

    id: str
    view: View
    study: Callable[[Finding], NewStudy]


class Service:
    """What one running server holds. Use `running`."""

    def __init__(self, settings: Serving, predictor: Predictor, store: Store) -> None:
        self.settings, self.predictor, self.store = settings, predictor, store
        self.secret = read_secret(settings.store.expanduser() / "secret")
        self.accounts = Accounts(store.database, shortest_password=settings.shortest_password)
        self.audit = AuditLog(store.database)
        self.requests = RateLimit(settings.requests_per_minute)
        self.failed_logins, self.bad_tokens = (RateLimit(settings.logins_per_minute) for _ in range(2))
        self.lockouts = Lockouts(store.database, failures=settings.lockout_failures, minutes=settings.lockout_minutes)
        self.metrics = Metrics()
        self.admission = Admission(concurrency=predictor.limits.concurrency, queue=predictor.limits.queue)
        self.webhooks = Webhooks(store.database, settings.webhooks)
        self.jobs = Jobs(self, settings.store.expanduser() / "inbox")
        self._readers = ThreadPoolExecutor(MAX_WORKERS, thread_name_prefix="read")
        self._network: Batcher[View, Finding] = Batcher(
            self._classify, largest=settings.batch, name="network", on_batch=self.metrics.batches.observe
        )
        self._writer: Batcher[NewStudy, Study] = Batcher(store.add_many, largest=64, name="writer")
        self.drift = DriftMonitor(
            store.database, model_sha256=predictor.identity.sha256, reference=settings.drift_reference
        )
        self._watch()

    async def answer(
        self,
        upload: Upload,
        *,
        uploader: str,
        address: str | None = None,
        key: str | None = None,
        job_item: tuple[str, int] | None = None,
    ) -> Study:
        """Classify one image and store the study; it is on disk on return.

        Args:
            upload: the file.
            uploader: name of the user who sent it.
            address: of the client, for the audit log.
            key: the same file sent again with this key gives the same study.
            job_item: id of the batch job and number in it.

        Raises:
            BadImage: the file is no readable radiograph.
            InputRefused: the key was used with another file (`key-reused`).
            Busy, StoreFull: the store cannot take it.
        """
        loop = asyncio.get_running_loop()
        try:
            found = await loop.run_in_executor(self._readers, self._decode, upload, uploader, key, job_item)
        except BadImage as error:
            self.drift.note(Failure("", error.code, ""))
            raise
        if isinstance(found, Study):
            return found
        try:
            finding = await self._network.submit(found.view)
            if upload.known:
                joined = await loop.run_in_executor(self._readers, self.predictor.join, finding, upload.known)
                finding = settle(joined)
            study = await self._writer.submit(dataclasses.replace(found.study(finding), address=address))
        except Exception:  # not on cancellation, when the writer may be at it; the next start deletes an orphan
            await loop.run_in_executor(self._readers, self.store.images.remove, found.id)
            raise
        self.metrics.answers.labels(study.label).inc()
        await asyncio.to_thread(self.webhooks.emit, "study.created", {"id": study.id, "label": study.label})
        self.drift.note(finding)
        return study

    async def join(self, study: Study, known: Mapping[str, float]) -> Study:
        """Store the answer from a stored image and clinical values; without values it is removed.

        Args:
            study: classified by the loaded network.
            known: values of `clinical.record`; the network accepts them.

        Raises:
            InputRefused: another network classified the study (`other-model`).
            NotFound: the study has been deleted.
            Busy: the server is shutting down, or the database is.
        """
        if not known:
            return await asyncio.to_thread(self.store.set_joint, study.id, None)
        if study.model != self.predictor.identity:
            message = "Another network classified this study. Send the image again to add clinical values."
            raise InputRefused(message, code="other-model")
        loop = asyncio.get_running_loop()
        view = await loop.run_in_executor(self._readers, lambda: self.predictor.view(self.store.radiograph(study)))
        finding = dataclasses.replace(await self._network.submit(view), gate=study.finding["gate"])
        joined = settle(await loop.run_in_executor(self._readers, self.predictor.join, finding, known))
        assert joined.joint
        return await asyncio.to_thread(self.store.set_joint, study.id, joint_as_dict(joined.joint))

    def _decode(
        self, upload: Upload, uploader: str, key: str | None, job_item: tuple[str, int] | None
    ) -> _Decoded | Study:
        data = upload.read()
        sha256 = sha256_bytes(data)
        bound = Key(key, _body_sha256(sha256, upload.known)) if key else None
        if bound and (known := self.store.result_of_key(bound)):
            return self.store.study(known)
        try:
            radiograph = open_source(data, limits=self.predictor.limits, untrusted=True)
        except BadImage as error:
            with contextlib.suppress(CovidXrayError):  # the sender still gets the error
                refusals.add(self.store.database, error, sha256=sha256, name=upload.name, uploader=uploader)
            raise
        view = self.predictor.view(radiograph)
        identity = new_id()
        height, width = radiograph.pixels.shape
        study = functools.partial(
            NewStudy,
            id=identity,
            name=upload.name,
            uploader=uploader,
            upload_sha256=sha256,
            bytes=self.store.images.put(identity, radiograph),
            shape=(height, width),
            bits=radiograph.bits,
            source=radiograph.source,
            patient_key=patient_key(self.settings.store.expanduser(), radiograph.source),
            thresholds=thresholds(self.predictor.bundle.contents.operating_points),
            key=bound,
            job_item=job_item,
        )
        return _Decoded(identity, view, lambda finding: study(finding=finding))

    def _classify(self, views: list[View]) -> list[Finding | Exception]:
        return [settle(finding) for finding in self.predictor.answers([""] * len(views), views, class_maps=True)]

    def _watch(self) -> None:
        self.metrics.model.labels(*self.predictor.identity.as_dict().values()).set(1)
        self.metrics.watch("covid_xray_uploads_working", "Uploads in progress.", lambda: self.admission.working)
        self.metrics.watch("covid_xray_uploads_waiting", "Uploads that wait.", lambda: self.admission.waiting)
        self.metrics.watch("covid_xray_store_bytes", "Bytes of stored images.", lambda: self.store.images.used)
        self.metrics.watch("covid_xray_webhooks_waiting", "Webhooks that have not arrived.", self.webhooks.waiting)
        self.metrics.watch_drift(self.drift)

    @contextlib.asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Answer requests while the block lasts; those in progress are finished at its end."""
        async with self._network, self._writer:
            tasks = [asyncio.create_task(self._sweep()), asyncio.create_task(self.jobs.work())]
            tasks.append(asyncio.create_task(self.webhooks.work()))
            try:
                yield
            finally:
                self.admission.closed = True
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                await asyncio.to_thread(self._readers.shutdown)
                with contextlib.suppress(CovidXrayError):
                    await asyncio.to_thread(self.drift.flush)

    async def _sweep(self) -> None:
        while True:
            with contextlib.suppress(CovidXrayError):  # tried again in a minute
                hours = self.settings.retention_hours
                for identity in await asyncio.to_thread(trash.purge, self.store):
                    await asyncio.to_thread(self.webhooks.emit, "study.deleted", {"id": identity})
                await asyncio.to_thread(self.store.expire, hours=hours)
                await asyncio.to_thread(refusals.expire, self.store.database, hours=hours)
                await asyncio.to_thread(audit_chain.expire, self.store.database, days=self.settings.audit_days)
                await asyncio.to_thread(self.lockouts.expire)
                await asyncio.to_thread(self.store.images.rescan)  # a DICOM node adds and removes images too
                await asyncio.to_thread(self.drift.flush)
            await asyncio.sleep(_SWEEP_SECONDS)


@contextlib.asynccontextmanager
async def running(settings: Serving, predictor: Predictor) -> AsyncIterator[Service]:
    """Run a service that holds its store alone.

    Raises:
        Busy: another process serves this store, or the database does not answer.
        UsageError, MissingPackage: the database cannot be opened with these settings.
    """
    folder = settings.store.expanduser()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with folder_lock(folder), contextlib.closing(open_database(settings)) as database:
        images = ImageFiles(folder / "images", quota=settings.quota_bytes)
        store = Store(database, images, limits=predictor.limits)
        store.clear_orphans()
        service = Service(settings, predictor, store)
        async with service.working():
            yield service


def _body_sha256(file: str, known: Mapping[str, float]) -> str:
    """Hash the file's hash and the clinical values that came with it, for an Idempotency-Key."""
    return sha256_bytes(json.dumps([file, dict(known)], sort_keys=True).encode()) if known else file
