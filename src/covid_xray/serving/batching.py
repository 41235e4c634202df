"""Many requests at once in, few calls of the network and the database out.

`Gate` says how many requests are worked on and how many wait, and refuses the rest at once. `Batcher` gathers what
waits while its last call runs and hands it over in one piece: no timer, so that a lone request never waits.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Generic, TypeVar

from covid_xray.errors import Busy

Item = TypeVar("Item")
Result = TypeVar("Result")


class Gate:
    """At most `concurrency` are worked on, at most `queue` more have a place to wait.

    A request takes its place before its body is read and its turn after, so that slow uploads hold nobody up.

    Args:
        concurrency: requests that are worked on at once.
        queue: requests that wait or arrive meanwhile; one more is refused.
    """

    def __init__(self, *, concurrency: int, queue: int) -> None:
        self.concurrency, self.queue = concurrency, queue
        self._turns = asyncio.Semaphore(concurrency)
        self.admitted = 0
        self.working = 0
        self.closed = False

    @property
    def waiting(self) -> int:
        """Requests that have a place and not their turn."""
        return self.admitted - self.working

    @contextlib.asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Hold a place. Raises `Busy` at once: there is none (`queue-full`), or the server is `stopping`."""
        if self.closed:
            raise stopping()
        if self.admitted >= self.concurrency + self.queue:
            raise Busy(
                f"expected at most {self.queue} requests to wait. Received: one more", code="queue-full", retry_after=1
            )
        self.admitted += 1
        try:
            yield
        finally:
            self.admitted -= 1

    @contextlib.asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a turn and hold it."""
        async with self._turns:
            self.working += 1
            try:
                yield
            finally:
                self.working -= 1


class Batcher(Generic[Item, Result]):
    """Hands waiting items to `function` together, in one thread of its own.

    Args:
        function: items in, one result or exception for each out, in order.
        largest: most items in one call.
        name: of the thread.
        seen: told the size of each batch.
    """

    def __init__(
        self,
        function: Callable[[list[Item]], Sequence[Result | Exception]],
        *,
        largest: int,
        name: str,
        seen: Callable[[int], Any] = lambda size: None,
    ) -> None:
        self._function, self._largest, self._seen = function, largest, seen
        self._waiting: asyncio.Queue[tuple[Item, asyncio.Future[Result]] | None] = asyncio.Queue()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._task: asyncio.Task[None] | None = None
        self._stopped = False

    async def __aenter__(self) -> "Batcher[Item, Result]":
        self._task = asyncio.create_task(self._work())
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop: the call under way ends and its items have their results; what still waits is refused."""
        self._stopped = True
        while not self._waiting.empty():
            waiting = self._waiting.get_nowait()
            if waiting and not waiting[1].done():
                waiting[1].set_exception(stopping())
        self._waiting.put_nowait(None)
        if self._task:
            await self._task
        await asyncio.to_thread(self._thread.shutdown)

    @property
    def waiting(self) -> int:
        """Items that no call has taken yet."""
        return self._waiting.qsize()

    async def submit(self, item: Item) -> Result:
        """The result for one item. Raises what `function` gave or raised for it, and `Busy` (`stopping`)."""
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
            self._seen(len(batch))
            await self._answer(batch)

    async def _answer(self, batch: list[tuple[Item, asyncio.Future[Result]]]) -> None:
        loop = asyncio.get_running_loop()
        results: Sequence[Result | Exception]
        try:
            results = await loop.run_in_executor(self._thread, self._function, [item for item, _ in batch])
        except Exception as error:
            results = [error] * len(batch)
        for (_, future), result in zip(batch, results, strict=True):
            if future.done():  # who asked has gone
                continue
            if isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)


def stopping() -> Busy:
    """What is said while the server is being stopped."""
    return Busy("expected a server that goes on. Received: it is being stopped", code="stopping", retry_after=5)
