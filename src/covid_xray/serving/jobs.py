"""Batches: files in, a job that is on disk out at once; its images are answered after that, also after a crash.

What was sent lies in the inbox (mode 0600) until every image has its row, a study or a refusal with its code, and is
deleted then. Zip archives are read where they lie, under the limits of `inference.io.inputs`; nothing is unpacked.
"""

import asyncio
import contextlib
import functools
import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Protocol

import sqlalchemy as sa

from covid_xray.errors import BadImage, Busy, CovidXrayError, InputRefused, NotFound, StoreFull
from covid_xray.files import CHUNK, fsync_folder, read_bounded, sha256_bytes, sha256_file
from covid_xray.inference.io.inputs import Item, expand
from covid_xray.inference.predictor import Predictor
from covid_xray.limits import Limits
from covid_xray.store import tables
from covid_xray.store.image_files import private_file, room_on_disk
from covid_xray.store.records import Key, Study, Upload, clean_name, new_id, now
from covid_xray.store.store import Store, claim

MOST_OPEN = 32  # jobs that are not done
_AT_ONCE = 8  # images of batches on their way, so that a lone upload passes them
_PAUSE = 1.0  # seconds before another try when the store is busy
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_LOG = logging.getLogger("covid_xray.serving")


@dataclass(frozen=True)
class JobItem:
    """One image of a job; `study_id` or `code` when it is done."""

    number: int
    name: str
    file: str
    entry: str | None
    study_id: str | None
    code: str | None
    message: str | None

    @property
    def done(self) -> bool:
        """Whether it has its answer."""
        return self.study_id is not None or self.code is not None


@dataclass(frozen=True)
class Job:
    """A batch."""

    id: str
    created: datetime
    finished: datetime | None
    uploader: str
    items: tuple[JobItem, ...]


class Answering(Protocol):
    """What the batches need of a `Service`."""

    predictor: Predictor
    store: Store

    async def answer(
        self, upload: Upload, *, uploader: str, key: str | None = None, job_item: tuple[str, int] | None = None
    ) -> Study:
        """Read, answer and store one image."""
        ...


class Jobs:
    """The batches of one server."""

    def __init__(self, service: Answering, inbox: Path) -> None:
        self._service, self.inbox = service, inbox
        self._database = service.store.database
        inbox.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._news: asyncio.Event = asyncio.Event()
        self._clear()

    def accept(self, files: Sequence[tuple[str, BinaryIO]], *, uploader: str, key: str | None = None) -> str:
        """Keep the files and make a job of their images; it is on disk when this returns its id.

        Args:
            files: name and content; a zip archive is told by its first bytes.
            uploader: who sent them.
            key: the same files sent again with the same key give the same job.

        Raises:
            InputRefused: too many images (`too-many`), or the key was used for other files (`key-reused`).
            Busy, StoreFull: the store does not take it.
        """
        self._check_room()
        job = new_id()
        try:
            with room_on_disk():
                paths = [self._keep(job, number, stream) for number, (_, stream) in enumerate(files)]
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
        """Tell the worker that there is something to do; call it in the event loop."""
        self._news.set()

    def job(self, identity: str) -> Job:
        """A job with its items. Raises `NotFound`."""
        jobs, items = tables.jobs.c, tables.items.c
        told = (items.number, items.name, items.file, items.entry, items.study_id, items.code, items.message)
        with self._database.reading() as connection:
            row = connection.execute(sa.select(tables.jobs).where(jobs.id == identity)).one_or_none()
            found = connection.execute(sa.select(*told).where(items.job_id == identity).order_by(items.number)).all()
        if row is None:
            raise NotFound("expected the id of a job. Received: none of this id, or no longer")
        listed = tuple(JobItem(*item) for item in found)
        return Job(row.id, row.created, row.finished, row.uploader, listed)

    async def work(self) -> None:
        """Work off what is open, then wait for more; for ever."""
        while True:
            self._news.clear()
            try:
                for identity in await asyncio.to_thread(self._open):
                    await self._work_off(await asyncio.to_thread(self.job, identity))
            except CovidXrayError:  # the database: all of it is still there, a little later
                await asyncio.sleep(_PAUSE)
                continue
            await self._news.wait()

    async def _work_off(self, job: Job) -> None:
        turns = asyncio.Semaphore(_AT_ONCE)

        async def one(item: JobItem) -> None:
            async with turns:
                await self._answer(job, item)

        async with asyncio.TaskGroup() as group:
            for item in job.items:
                if not item.done:
                    group.create_task(one(item))
        await asyncio.to_thread(self._finish, job.id)

    async def _answer(self, job: Job, item: JobItem) -> None:
        upload = Upload(item.name, functools.partial(self._read, item))
        while True:
            try:
                await self._service.answer(upload, uploader=job.uploader, job_item=(job.id, item.number))
                return
            except Busy:
                await asyncio.sleep(_PAUSE)
            except CovidXrayError as error:
                await asyncio.to_thread(self._fail, job, item, error)
                return
            except Exception as error:
                _LOG.error("unforeseen %s in a batch", type(error).__name__)
                failure = CovidXrayError("expected to answer. Received: an unforeseen error")
                await asyncio.to_thread(self._fail, job, item, failure)
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
            raise BadImage("expected the file of a batch. Received: none", code="unreadable-file") from None

    def _fail(self, job: Job, item: JobItem, error: CovidXrayError) -> None:
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
            raise Busy(
                f"expected at most {MOST_OPEN} open batches. Received: one more", code="queue-full", retry_after=30
            )
        shelf = self._service.store.images
        if shelf.used + sum(map(_size, self.inbox.iterdir())) >= shelf.quota:
            raise StoreFull(f"expected at most {shelf.quota:,} bytes in the store. Received: more")

    def _keep(self, job: str, number: int, stream: BinaryIO) -> Path:
        stream.seek(0)
        start = stream.read(4)
        path = self.inbox / f"{job}-{number}{'.zip' if start in _ZIP else ''}"
        with private_file(path) as copy:
            copy.write(start)
            while chunk := stream.read(CHUNK):
                copy.write(chunk)
        return path

    def _rows(self, job: str, names: Sequence[str], paths: Sequence[Path]) -> Iterator[dict[str, object]]:
        limits, number = self._service.predictor.limits, 0
        for name, path in zip(names, paths, strict=True):
            for item in _items(name, path, limits):
                if number >= limits.zip_entries:
                    raise InputRefused(
                        f"expected at most {limits.zip_entries:,} images. Received: more", code="too-many"
                    )
                code, message = _problem(item, limits)
                entry = None if item.entry is None else json.dumps(item.entry)
                yield {
                    "job_id": job,
                    "number": number,
                    "name": clean_name(item.name),
                    "file": path.name,
                    "entry": entry,
                    "code": code,
                    "message": message,
                }
                number += 1

    def _insert(self, job: str, rows: list[dict[str, object]], *, uploader: str, key: Key | None) -> str:
        with self._database.writing() as connection:
            known = claim(connection, key, result=job) if key else job
            if known == job:
                values = {"id": job, "created": now(), "uploader": uploader, "total": len(rows)}
                connection.execute(sa.insert(tables.jobs).values(values))
                connection.execute(sa.insert(tables.items), rows)
        return known

    def _forget(self, job: str) -> None:
        for path in self.inbox.glob(f"{job}-*"):
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
        fsync_folder(self.inbox)

    def _clear(self) -> None:
        """Delete what a crash left of uploads that were never confirmed, or of jobs that are done."""
        still = set(self._open())
        for path in self.inbox.iterdir():
            if path.name.partition("-")[0] not in still:
                path.unlink()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # its job has just ended
        return 0


def _items(name: str, path: Path, limits: Limits) -> Iterator[Item]:
    if path.suffix != ".zip":
        yield Item(name, path)
        return
    for item in expand([path], limits=limits):
        yield Item(item.entry or name, path, entry=item.entry, problem=item.problem)


def _problem(item: Item, limits: Limits) -> tuple[str | None, str | None]:
    if item.problem is None:
        return None, None
    try:
        item.read(limits)
    except BadImage as error:
        return error.code, error.message
    return None, None


def _key(key: str | None, paths: Sequence[Path]) -> Key | None:
    if key is None:
        return None
    return Key(key, sha256_bytes("".join(sha256_file(path) for path in paths).encode()))
