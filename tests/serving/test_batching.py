"""The admission refuses what it cannot hold, at once; batchers answer each item with its own result, many at a time."""

import asyncio
import threading
import time

import pytest

from covid_xray.errors import Busy
from covid_xray.serving.batching import Admission, Batcher


def test_gate_lets_in_as_many_as_it_says() -> None:
    async def scene() -> tuple[int, int, list[str]]:
        admission = Admission(concurrency=2, queue=3)
        go, seen, refused = asyncio.Event(), [], []

        async def visit() -> None:
            try:
                async with admission.admit(), admission.slot():
                    seen.append(admission.working)
                    await go.wait()
            except Busy as error:
                refused.append(f"{error.code} {error.retry_after} {error.http_status}")

        tasks = [asyncio.create_task(visit()) for _ in range(8)]
        await asyncio.sleep(0.01)
        inside = (admission.working, admission.waiting)
        go.set()
        await asyncio.gather(*tasks)
        assert (admission.admitted, admission.working, admission.waiting) == (0, 0, 0)
        assert len(seen) == 5
        return *inside, refused

    working, waiting, refused = asyncio.run(scene())
    assert (working, waiting) == (2, 3)
    assert refused == ["queue-full 1 503"] * 3


def test_a_closed_gate_refuses_and_a_cancelled_visit_frees_its_place() -> None:
    async def scene() -> None:
        admission = Admission(concurrency=1, queue=1)

        async def visit() -> None:
            async with admission.admit(), admission.slot():
                await asyncio.sleep(60)

        tasks = [asyncio.create_task(visit()) for _ in range(2)]
        await asyncio.sleep(0.01)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert (admission.admitted, admission.working) == (0, 0)
        admission.closed = True
        with pytest.raises(Busy) as refusal:
            async with admission.admit():
                pass
        assert refusal.value.code == "stopping"

    asyncio.run(scene())


def test_items_that_wait_go_together_and_in_order() -> None:
    sizes: list[int] = []
    threads = set()

    def double(items: list[int]) -> list[int | Exception]:
        threads.add(threading.get_ident())
        time.sleep(0.05)
        return [item * 2 for item in items]

    async def scene() -> list[int]:
        async with Batcher(double, largest=8, name="test", on_batch=sizes.append) as batcher:
            return await asyncio.gather(*(batcher.submit(number) for number in range(20)))

    assert asyncio.run(scene()) == [2 * number for number in range(20)]
    assert sum(sizes) == 20
    assert max(sizes) == 8
    assert len(sizes) <= 4
    assert len(threads) == 1


def test_one_bad_item_does_not_spoil_its_batch() -> None:
    def answer(items: list[int]) -> list[int | Exception]:
        return [ValueError(str(item)) if item % 2 else item for item in items]

    async def scene() -> list[object]:
        async with Batcher(answer, largest=8, name="test") as batcher:
            return await asyncio.gather(*(batcher.submit(n) for n in range(4)), return_exceptions=True)

    found = asyncio.run(scene())
    assert found[0::2] == [0, 2]
    assert [str(error) for error in found[1::2]] == ["1", "3"]


def test_a_call_that_raises_tells_everybody_and_the_next_one_is_well() -> None:
    calls = []

    def answer(items: list[int]) -> list[int]:
        calls.append(items)
        if len(calls) == 1:
            raise KeyError("first")
        return items

    async def scene() -> tuple[list[object], int]:
        async with Batcher(answer, largest=8, name="test") as batcher:
            failed = await asyncio.gather(*(batcher.submit(n) for n in range(3)), return_exceptions=True)
            return failed, await batcher.submit(7)

    failed, well = asyncio.run(scene())
    assert len(calls[0]) in (1, 3)
    assert any(isinstance(error, KeyError) for error in failed)
    assert well == 7


def test_who_goes_away_hinders_nobody_and_the_end_refuses_what_waits() -> None:
    release = threading.Event()

    def slow(items: list[int]) -> list[int]:
        release.wait(5)
        return items

    async def scene() -> tuple[object, object]:
        batcher = Batcher(slow, largest=1, name="test")
        async with batcher:
            gone = asyncio.create_task(batcher.submit(1))
            stays = asyncio.create_task(batcher.submit(2))
            await asyncio.sleep(0.05)
            gone.cancel()
            release.set()
            first = await asyncio.gather(gone, return_exceptions=True)
            second = await stays
            release.clear()
            late = asyncio.create_task(batcher.submit(3))
            later = asyncio.create_task(batcher.submit(4))
            await asyncio.sleep(0.05)
            threading.Timer(0.1, release.set).start()
        ended = await asyncio.gather(late, later, return_exceptions=True)
        assert ended[0] == 3
        return first[0], (second, ended[1])

    gone, (second, later) = asyncio.run(scene())
    assert isinstance(gone, asyncio.CancelledError)
    assert second == 2
    assert isinstance(later, Busy)
    assert later.code == "stopping"
