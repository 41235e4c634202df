"""Accept batches of images as jobs, and process them in the background, also after a crash.

The files of a job stay in the inbox (mode 0600) until each image has become a study or a refusal with its code. Zip
and tar archives are read in place, under the limits of `inference.io.inputs`; a packed tar is kept unpacked, since its
images are not read in its order.
"""

import asyncio
import contextlib
import functools
import json
import logging
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Protocol

import sqlalchemy as sa

from covid_xray.errors import BadImage, Busy, CovidXrayError, InputRefused, NotFound, StoreFull
from covid_xray.files import CHUNK, fsync_folder, read_bounded, sha256_bytes, sha256_file
from covid_xray.inference.io.inputs import Item, expand
from covid_xray.inference.io.tar_entries import close_archive, copy_unpacked, is_tar
from covid_xray.inference.predictor import Predictor
from covid_xray.limits import Limits
from covid_xray.serving.webhooks import Webhooks
from covid_xray.store import tables
from covid_xray.store.image_files import private_file, room_on_disk
from covid_xray.store.records import Key, Study, Upload, clean_name, new_id, now
from covid_xray.store.store import Store, claim

MOST_OPEN = 32  # unfinished jobs
_AT_ONCE = 8  # images of a batch in progress; few, so that single uploads are not held up
_RETRY_SECONDS = 1.0  # when the store is busy
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_TAR_AT, _TAR = 257, b"ustar"
_LOG = logging.getLogger("covid_xray.serving")


@dataclass(frozen=True)
class JobItem:
    """One image of a job; when it is done it has a `study_id` or an error `code`."""

    number: int
    name: str
    file: str
    entry: str | None
    study_id: str | None
    code: str | None
    message: str | None

    @property
    def done(self) -> bool:
        """Whether it became a study or was refused."""
        return self.study_id is not None or self.code is not None


@dataclass(frozen=True)
class Job:
    """A batch and its images."""

    id: str
    created: datetime
    finished: datetime | None
    uploader: str
    items: tuple[JobItem, ...]


class ImageService(Protocol):
    """The part of `Service` that `Jobs` uses."""

    predictor: Predictor
    store: Store
    webhooks: Webhooks

    async def answer(
        self, upload: Upload, *, uploader: str, key: str | None = None, job_item: tuple[str, int] | None = None
    ) -> Study:
        """Classify one image and store the study."""
        ...


class Jobs:
    """The batch jobs of one server."""

    def __init__(self, service: ImageService, inbox: Path) -> None:
        self._service, self.inbox = service, inbox
        self._database = service.store.database
        inbox.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._news: asyncio.Event = asyncio.Event()
        self._clear()

    def accept(self, files: Sequence[tuple[str, BinaryIO]], *, uploader: str, key: str | None = None) -> str:
        """Save the files as a job and return its id; the job is on disk on return.

        Args:
            files: name and content; an archive is recognised by its first bytes, a packed tar also by its name.
            uploader: name of the user who sent them.
            key: the same files sent again with this key give the same job.

        Raises:
            InputRefused: too many images (`too-many`), an archive beyond the limits (`zip-limits`), or the key was used
                for other files (`key-reused`).
            Busy, StoreFull: too many unfinished jobs, or the store cannot take it.
        """
        self._check_room()
        job = new_id()
        try:
            with room_on_disk():
                paths = [self._keep(job, number, name, stream) for number, (name, stream) in enumerate(files)]
                fsync_folder(self.inbox)
            rows = list(self._rows(job, [name for name, _ in files], paths))
            known = self._insert(job, rows, uploader=uploader, key=_key(key, paths))
        except BaseException:
            self._forget(job)
            raise
        if known != job:
            self._forget(job)
        return known

    def announce(self) -> None:
        """Wake the worker; call it in the event loop."""
        self._news.set()

    def job(self, identity: str) -> Job:
        """Read a job with its items. Raises `NotFound`."""
        jobs, items = tables.jobs.c, tables.items.c
        columns = [items[field.name] for field in fields(JobItem)]
        with self._database.reading() as connection:
            row = connection.execute(sa.select(tables.jobs).where(jobs.id == identity)).one_or_none()
            found = connection.execute(sa.select(*columns).where(items.job_id == identity).order_by(items.number)).all()
        if row is None:
            raise NotFound("No such job: the id is wrong, or the job has expired.")
        return Job(row.id, row.created, row.finished, row.uploader, tuple(JobItem(*item) for item in found))

    async def work(self) -> None:
        """Process unfinished jobs and wait for more, for ever."""
        while True:
            self._news.clear()
            try:
                for identity in await asyncio.to_thread(self._open):
                    await self._process(await asyncio.to_thread(self.job, identity))
            except CovidXrayError:  # of the database; the jobs are still there after a while
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            await self._news.wait()

    async def _process(self, job: Job) -> None:
        slots = asyncio.Semaphore(_AT_ONCE)

        async def answer(item: JobItem) -> None:
            async with slots:
                await self._answer(job, item)

        async with asyncio.TaskGroup() as group:
            for item in job.items:
                if not item.done:
                    group.create_task(answer(item))
        await asyncio.to_thread(self._finish, job.id)
        await asyncio.to_thread(self._service.webhooks.emit, "job.finished", {"id": job.id, "total": len(job.items)})

    async def _answer(self, job: Job, item: JobItem) -> None:
        upload = Upload(item.name, functools.partial(self._read, item))
        while True:
            try:
                await self._service.answer(upload, uploader=job.uploader, job_item=(job.id, item.number))
                return
            except Busy:
                await asyncio.sleep(_RETRY_SECONDS)
            except Exception as error:
                await asyncio.to_thread(self._fail, job, item, error)
                return

    def _read(self, item: JobItem) -> bytes:
        limits, path = self._service.predictor.limits, self.inbox / item.file
        try:
            if item.entry is not None:
                data = Item(item.name, path, entry=json.loads(item.entry)).read(limits)
                assert isinstance(data, bytes)
                return data
            return read_bounded(path, limit=limits.upload_bytes)
        except OSError:
            raise BadImage("The file of this image cannot be read. Send it again.", code="unreadable-file") from None

    def _fail(self, job: Job, item: JobItem, error: Exception) -> None:
        if not isinstance(error, CovidXrayError):
            _LOG.error("unexpected %s in a batch", type(error).__name__)
            error = CovidXrayError("The server failed on this image. Send it again.")
        items = tables.items.c
        where = (items.job_id == job.id) & (items.number == item.number)
        with self._database.writing() as connection:
            connection.execute(sa.update(tables.items).where(where).values(code=error.code, message=error.message))

    def _finish(self, job: str) -> None:
        with self._database.writing() as connection:
            connection.execute(sa.update(tables.jobs).where(tables.jobs.c.id == job).values(finished=now()))
        self._forget(job)

    def _open(self) -> list[str]:
        jobs = tables.jobs.c
        with self._database.reading() as connection:
            query = sa.select(jobs.id).where(jobs.finished.is_(None)).order_by(jobs.created, jobs.id)
            return list(connection.scalars(query))

    def _check_room(self) -> None:
        if len(self._open()) >= MOST_OPEN:
            message = f"The server is busy with {MOST_OPEN} batches. Try again in half a minute."
            raise Busy(message, code="queue-full", retry_after=30)
        images = self._service.store.images
        if images.used + sum(map(_size, self.inbox.iterdir())) >= images.quota:
            raise StoreFull(
                f"The store is full: it may take {images.quota:,} bytes. Delete studies or raise quota_bytes."
            )

    def _keep(self, job: str, number: int, name: str, stream: BinaryIO) -> Path:
        stream.seek(0)
        start = stream.read(_TAR_AT + len(_TAR))
        stream.seek(0)
        tar = start[_TAR_AT:] == _TAR or is_tar(Path(name))
        path = self.inbox / f"{job}-{number}{'.zip' if start[:4] in _ZIP else '.tar' if tar else ''}"
        with private_file(path) as copy:
            if path.suffix == ".tar":
                copy_unpacked(stream, copy, self._service.predictor.limits)
            else:
                shutil.copyfileobj(stream, copy, CHUNK)
        return path

    def _rows(self, job: str, names: Sequence[str], paths: Sequence[Path]) -> Iterator[dict[str, object]]:
        limits, number = self._service.predictor.limits, 0
        for name, path in zip(names, paths, strict=True):
            for item in _items(name, path, limits):
                if number >= limits.zip_entries:
                    message = f"Too many images: a batch may hold {limits.zip_entries:,}. Send several batches."
                    raise InputRefused(message, code="too-many")
                entry = None if item.entry is None else json.dumps(item.entry)
                row = {"job_id": job, "number": number, "name": clean_name(item.name), "file": path.name}
                yield {**row, "entry": entry, **_refusal(item, limits)}
                number += 1

    def _insert(self, job: str, rows: list[dict[str, object]], *, uploader: str, key: Key | None) -> str:
        with self._database.writing() as connection:
            claimed = claim(connection, key, result=job) if key else job
            if claimed == job:
                values = {"id": job, "created": now(), "uploader": uploader, "total": len(rows)}
                connection.execute(sa.insert(tables.jobs).values(values))
                connection.execute(sa.insert(tables.items), rows)
        return claimed

    def _forget(self, job: str) -> None:
        close_archive()
        for path in self.inbox.glob(f"{job}-*"):
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
        fsync_folder(self.inbox)

    def _clear(self) -> None:
        """Delete the files that a crash left of uploads never confirmed, or of finished jobs."""
        unfinished = set(self._open())
        for path in self.inbox.iterdir():
            if path.name.partition("-")[0] not in unfinished:
                path.unlink()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # its job has just finished
        return 0


def _items(name: str, path: Path, limits: Limits) -> Iterator[Item]:
    if path.suffix not in (".zip", ".tar"):
        yield Item(name, path)
        return
    for item in expand([path], limits=limits):
        yield Item(item.entry or name, path, entry=item.entry, problem=item.problem)


def _refusal(item: Item, limits: Limits) -> dict[str, str | None]:
    """Return code and message of an archive entry that is known to be unreadable; both `None` otherwise."""
    try:
        if item.problem is not None:
            item.read(limits)
    except BadImage as error:
        return {"code": error.code, "message": error.message}
    return {"code": None, "message": None}


def _key(key: str | None, paths: Sequence[Path]) -> Key | None:
    if key is None:
        return None
    return Key(key, sha256_bytes("".join(sha256_file(path) for path in paths).encode()))
