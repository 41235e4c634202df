"""Limit concurrent requests, and gather waiting items so that one call handles many.

`Batcher` runs all waiting items when its previous call ends. There is no timer, so a lone request never waits.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Generic, TypeVar

from covid_xray.errors import Busy

Item = TypeVar("Item")
Result = TypeVar("Result")


class Admission:
    """Admit a bounded number of requests.

    A request is admitted before its body is read and gets its slot afterwards, so slow uploads do not block others.

    Args:
        concurrency: requests processed at once.
        queue: further requests that may upload or wait; the next one is refused.
    """

    def __init__(self, *, concurrency: int, queue: int) -> None:
        self.concurrency, self.queue = concurrency, queue
        self._slots = asyncio.Semaphore(concurrency)
        self.admitted = 0
        self.working = 0
        self.closed = False

    @property
    def waiting(self) -> int:
        """Admitted requests without a slot."""
        return self.admitted - self.working

    @contextlib.asynccontextmanager
    async def admit(self) -> AsyncIterator[None]:
        """Admit one request. Raises `Busy` at once when the queue is full (`queue-full`) or on `stopping`."""
        if self.closed:
            raise stopping()
        if self.admitted >= self.concurrency + self.queue:
            message = f"The server is busy: {self.queue} requests are waiting already. Try again in a second."
            raise Busy(message, code="queue-full", retry_after=1)
        self.admitted += 1
        try:
            yield
        finally:
            self.admitted -= 1

    @contextlib.asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Wait for a slot and hold it."""
        async with self._slots:
            self.working += 1
            try:
                yield
            finally:
                self.working -= 1


class Batcher(Generic[Item, Result]):
    """Call `function` with the waiting items, in a thread of its own.

    Args:
        function: maps a list of items to one result or exception each, in order.
        largest: most items in one call.
        name: name of the thread.
        on_batch: called with the size of each batch.
    """

    def __init__(
        self,
        function: Callable[[list[Item]], Sequence[Result | Exception]],
        *,
        largest: int,
        name: str,
        on_batch: Callable[[int], Any] = lambda size: None,
    ) -> None:
        self._function, self._largest, self._on_batch = function, largest, on_batch
        self._waiting: asyncio.Queue[tuple[Item, asyncio.Future[Result]] | None] = asyncio.Queue()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._task: asyncio.Task[None] | None = None
        self._stopped = False

    async def __aenter__(self) -> "Batcher[Item, Result]":
        self._task = asyncio.create_task(self._work())
        return self

    async def __aexit__(self, *_: object) -> None:
        """Let the running call finish and refuse the items that still wait."""
        self._stopped = True
        while not self._waiting.empty():
            waiting = self._waiting.get_nowait()
            if waiting and not waiting[1].done():
                waiting[1].set_exception(stopping())
        self._waiting.put_nowait(None)
        if self._task:
            await self._task
        await asyncio.to_thread(self._thread.shutdown)

    async def submit(self, item: Item) -> Result:
        """Wait for the result of one item. Raises what `function` gave or raised for it, and `Busy` (`stopping`)."""
        if self._stopped:
            raise stopping()
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.put_nowait((item, future))
        return await future

    async def _work(self) -> None:
        while first := await self._waiting.get():
            batch = [first]
            while len(batch) < self._largest and not self._waiting.empty():
                more = self._waiting.get_nowait()
                if more is None:
                    self._waiting.put_nowait(None)
                    break
                batch.append(more)
            self._on_batch(len(batch))
            await self._run(batch)

    async def _run(self, batch: list[tuple[Item, asyncio.Future[Result]]]) -> None:
        loop = asyncio.get_running_loop()
        results: Sequence[Result | Exception]
        try:
            results = await loop.run_in_executor(self._thread, self._function, [item for item, _ in batch])
        except Exception as error:
            results = [error] * len(batch)
        for (_, future), result in zip(batch, results, strict=True):
            if future.done():  # the client has gone
                continue
            if isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)


def stopping() -> Busy:
    """Build the refusal of a server that is shutting down."""
    return Busy("The server is shutting down. Try again when it is back.", code="stopping", retry_after=5)
