"""A job that was confirmed is worked off, also by the next server; what was not confirmed leaves nothing."""

import asyncio
import io
import stat
import tarfile
from pathlib import Path

import pytest

from covid_xray.config import Serving
from covid_xray.errors import Busy, InputRefused, StoreFull
from covid_xray.inference.predictor import Predictor
from covid_xray.serving import jobs as module
from covid_xray.serving.jobs import Job
from covid_xray.serving.service import Service, running
from support.bundles import make_bundle
from support.servers import COVID, NORMAL

FILES = (("a.png", COVID), ("b.txt", b"hello"), ("c.png", NORMAL))


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return Predictor(make_bundle(tmp_path_factory.mktemp("bundle") / "bundle"), threads=1)


def accept(service: Service, **options: str) -> str:
    return service.jobs.accept([(name, io.BytesIO(data)) for name, data in FILES], uploader="doe", **options)


async def when_done(service: Service, identity: str) -> Job:
    for _ in range(600):
        job = await asyncio.to_thread(service.jobs.job, identity)
        if job.finished:
            return job
        await asyncio.sleep(0.05)
    raise AssertionError("expected the job to end")


def test_the_next_server_works_off_what_this_one_confirmed(tmp_path: Path, predictor: Predictor) -> None:
    settings = Serving(store=tmp_path / "store")

    async def first() -> str:
        async with running(settings, predictor) as service:
            return accept(service)  # nobody is told: as if the server had died now

    async def second(identity: str) -> Job:
        async with running(settings, predictor) as service:
            return await when_done(service, identity)

    identity = asyncio.run(first())
    inbox = tmp_path / "store" / "inbox"
    assert [stat.S_IMODE(path.stat().st_mode) for path in inbox.iterdir()] == [0o600] * 3
    (inbox / f"{'f' * 32}-0").write_bytes(b"an upload that was never confirmed")
    job = asyncio.run(second(identity))
    assert [item.code or "answered" for item in job.items] == ["answered", "not-an-image", "answered"]
    assert len({item.study_id for item in job.items}) == 3
    assert list(inbox.iterdir()) == []


def packed(mode: str, **files: bytes) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return stream.getvalue()


def test_tar_archives_are_batches_too_and_each_has_its_limits(tmp_path: Path, predictor: Predictor) -> None:
    pictures = {"b": NORMAL, "a": COVID, "notes.txt": b"no image"}
    whole = packed("w:gz", **pictures)
    files = {"plain.tar": packed("w", **pictures), "ct.tar.gz": whole, "x.txz": packed("w:xz", a=COVID)}
    files |= {"torn.tgz": whole[:-200], "none.tar": packed("w", readme=b"nothing"), "no.tar": b"x" * 600}

    async def main() -> Job:
        async with running(Serving(store=tmp_path / "store"), predictor) as service:
            with pytest.raises(InputRefused) as caught:
                service.jobs.accept([("bomb.tgz", io.BytesIO(packed("w:gz", a=bytes(10**7))))], uploader="doe")
            assert caught.value.code == "zip-limits"
            sent = [(name, io.BytesIO(data)) for name, data in files.items()]
            return await when_done(service, accept_and_announce(service, sent))

    job = asyncio.run(main())
    found = [(item.name, item.code or "answered") for item in job.items]
    assert found[:5] == [(name, "answered") for name in ("b", "a", "b", "a", "a")]
    assert found[5:] == [("torn.tgz", "bad-tar"), ("none.tar", "no-images"), ("no.tar", "bad-tar")]
    assert list((tmp_path / "store" / "inbox").iterdir()) == []


def accept_and_announce(service: Service, sent: list[tuple[str, io.BytesIO]]) -> str:
    identity = service.jobs.accept(sent, uploader="doe")
    service.jobs.announce()
    return identity


def test_a_busy_store_is_waited_for(tmp_path: Path, predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_RETRY_SECONDS", 0.01)

    async def scene() -> Job:
        async with running(Serving(store=tmp_path / "store"), predictor) as service:
            answer, calls = service.answer, []

            async def busy(*args: object, **options: object) -> object:
                calls.append(1)
                if len(calls) <= 4:
                    raise Busy("The store is busy.")
                return await answer(*args, **options)

            monkeypatch.setattr(service, "answer", busy)
            identity = await asyncio.to_thread(accept, service)
            service.jobs.announce()
            return await when_done(service, identity)

    assert [item.code or "answered" for item in asyncio.run(scene()).items] == ["answered", "not-an-image", "answered"]


def test_an_unforeseen_error_is_one_row(tmp_path: Path, predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene() -> Job:
        async with running(Serving(store=tmp_path / "store"), predictor) as service:

            async def broken(*_: object, **__: object) -> object:
                raise ZeroDivisionError

            monkeypatch.setattr(service, "answer", broken)
            identity = await asyncio.to_thread(accept, service)
            service.jobs.announce()
            return await when_done(service, identity)

    assert [item.code for item in asyncio.run(scene()).items] == ["failed"] * 3


def test_too_many_open_jobs_and_a_full_store_are_refused(
    tmp_path: Path, predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene() -> None:
        async with running(Serving(store=tmp_path / "store"), predictor) as service:
            monkeypatch.setattr(module, "MOST_OPEN", 1)
            accept(service)
            with pytest.raises(Busy) as refusal:
                accept(service)
            assert refusal.value.retry_after == 30
            monkeypatch.setattr(module, "MOST_OPEN", 9)
            monkeypatch.setattr(service.store.images, "quota", 10)
            with pytest.raises(StoreFull):
                accept(service)
            assert len(list(service.jobs.inbox.iterdir())) == 3

    asyncio.run(scene())


def test_what_cannot_be_committed_leaves_no_file(
    tmp_path: Path, predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene() -> None:
        async with running(Serving(store=tmp_path / "store"), predictor) as service:

            def broken(*_: object) -> object:
                raise Busy("The store is busy.")

            monkeypatch.setattr(service.store.database, "writing", broken)
            with pytest.raises(Busy):
                accept(service)
            assert list(service.jobs.inbox.iterdir()) == []
            monkeypatch.undo()

    asyncio.run(scene())
