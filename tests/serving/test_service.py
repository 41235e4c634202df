"""One server's own work: from an upload to a stored study, and what is left when a step fails."""

import asyncio
import stat
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from covid_xray.bundle.contents import OperatingPoints, Point
from covid_xray.config import Serving
from covid_xray.errors import BadImage, Busy, StoreFull
from covid_xray.inference.predictor import Predictor
from covid_xray.serving import service as module
from covid_xray.serving.service import Service, running
from covid_xray.store.drift import rows
from covid_xray.store.records import Study, Upload, thresholds
from support.bundles import make_bundle
from support.servers import COVID, NORMAL

CHEST = Upload("chest.png", lambda: COVID)


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return Predictor(make_bundle(tmp_path_factory.mktemp("bundle") / "bundle"), threads=1)


def within(
    folder: Path, predictor: Predictor, scene: Callable[[Service], Coroutine[Any, Any, Any]], **settings: Any
) -> Any:
    async def run() -> Any:
        async with running(Serving(store=folder / "store", **settings), predictor) as service:
            return await scene(service)

    return asyncio.run(run())


def images(service: Service) -> int:
    return len(list(service.store.images.folder.iterdir()))


def test_uploads_that_come_together_share_runs_of_the_network(tmp_path: Path, predictor: Predictor) -> None:
    async def scene(service: Service) -> list[Study]:
        uploads = [Upload(f"{n}.png", lambda data=(COVID, NORMAL)[n % 2]: data) for n in range(24)]
        return await asyncio.gather(*(service.answer(upload, uploader="doe") for upload in uploads))

    studies = within(tmp_path, predictor, scene)
    assert [study.label for study in studies] == ["covid", "normal"] * 12
    assert [study.name for study in studies] == [f"{n}.png" for n in range(24)]
    assert len({study.id for study in studies}) == 24


@pytest.mark.parametrize("step", ["_classify", "add_many"])
def test_a_step_that_fails_leaves_no_image(
    tmp_path: Path, predictor: Predictor, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def broken(*_: object) -> None:
        raise Busy("The store is busy.")

    owner = Service if step == "_classify" else module.Store
    monkeypatch.setattr(owner, step, broken)

    async def scene(service: Service) -> int:
        with pytest.raises(Busy):
            await service.answer(CHEST, uploader="doe")
        return images(service) + service.store.images.used

    assert within(tmp_path, predictor, scene) == 0


def test_refusals_leave_nothing(tmp_path: Path, predictor: Predictor) -> None:
    async def scene(service: Service) -> int:
        with pytest.raises(BadImage):
            await service.answer(Upload("a", lambda: b"x"), uploader="doe")
        service.store.images.quota = 10
        with pytest.raises(StoreFull):
            await service.answer(CHEST, uploader="doe")
        return images(service)

    assert within(tmp_path, predictor, scene) == 0


def test_what_a_crash_left_is_cleared_at_the_start(tmp_path: Path, predictor: Predictor) -> None:
    async def first(service: Service) -> str:
        return (await service.answer(CHEST, uploader="doe")).id

    kept = within(tmp_path, predictor, first)
    orphan = tmp_path / "store" / "images" / f"{'a' * 32}.png"
    orphan.write_bytes(b"half a picture")

    async def second(service: Service) -> list[str]:
        return [path.stem for path in service.store.images.folder.iterdir()]

    assert within(tmp_path, predictor, second) == [kept]


def test_old_studies_go_by_themselves(tmp_path: Path, predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SWEEP_SECONDS", 0.02)

    async def scene(service: Service) -> int:
        await service.answer(CHEST, uploader="doe")
        for _ in range(200):
            if not images(service):
                break
            await asyncio.sleep(0.02)
        return images(service)

    assert within(tmp_path, predictor, scene, retention_hours=1e-5) == 0


def test_one_store_has_one_server_and_a_secret_that_outlives_it(tmp_path: Path, predictor: Predictor) -> None:
    async def scene(service: Service) -> bytes:
        with pytest.raises(Busy):
            async with running(service.settings, predictor):
                pass
        return service.secret

    first, second = (within(tmp_path, predictor, scene) for _ in range(2))
    assert first == second
    assert len(first) == 32
    assert stat.S_IMODE((tmp_path / "store" / "secret").stat().st_mode) == 0o600


def test_thresholds_are_those_of_the_bundle() -> None:
    points = {"balanced": Point(0.4), "rule-in": Point(None, reason="too few images")}
    assert thresholds({"covid": OperatingPoints("x", points)}) == {"covid": {"balanced": 0.4}}
    assert thresholds(None) is None


def test_answers_and_refused_files_are_kept_for_drift_monitoring(tmp_path: Path, predictor: Predictor) -> None:
    async def scene(service: Service) -> None:
        await service.answer(CHEST, uploader="doe")
        with pytest.raises(BadImage):
            await service.answer(Upload("doe.png", lambda: b"no image"), uploader="doe")

    within(tmp_path, predictor, scene)  # what was noted is stored when the server stops
    counts = within(tmp_path, predictor, _drift_counts)
    assert [sum(day.values()) for day in counts["answer"].values()] == [2]
    assert [*counts["refused"].values()] == [{"not-an-image": 1}]


async def _drift_counts(service: Service) -> Any:
    return rows.counts(service.store.database)
