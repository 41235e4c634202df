"""Partitions in, finished ones out, by worker processes of this machine. No package but pyarrow is needed.

A worker that dies (the system's memory killer, kill -9, a crash) is replaced and what it had is tried again.
"""

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool

from covid_xray.cluster.crash_isolation import FROM_TRY
from covid_xray.cluster.partition_scorer import Done, Work
from covid_xray.cluster.plan import Part
from covid_xray.cluster.worker import Worker
from covid_xray.errors import CovidXrayError

STARTS = 3  # pools in a row that die without one finished partition, each partition having been tried with care
_WORKER: list[Worker] = []  # of this process, made by `_open`


def answered(parts: Iterator[Part], work: Work, *, workers: int = 0) -> Iterator[Done | CovidXrayError]:
    """The finished partitions in the order in which they get ready.

    Args:
        parts: read one at a time, two a worker ahead.
        work: what they have in common.
        workers: processes; 0 for one a core.

    Raises:
        CovidXrayError: workers die again and again (`worker-died`).
    """
    count = workers or os.cpu_count() or 1
    attempts: dict[int, int] = {}
    waiting: list[Part] = []  # what a worker that died left
    fruitless = 0
    while True:
        pool = _pool(count, work)
        try:
            for done in _round(pool, parts, waiting, attempts, depth=2 * count):
                fruitless = 0
                yield done
            return
        except BrokenProcessPool:
            fruitless += 1
            if fruitless >= FROM_TRY + STARTS:
                raise _dying(fruitless) from None
        finally:
            _end(pool)


def _round(
    pool: ProcessPoolExecutor, parts: Iterator[Part], waiting: list[Part], attempts: dict[int, int], *, depth: int
) -> Iterator[Done | CovidXrayError]:
    """What one pool finishes; when it breaks, `waiting` holds what it had. A break takes the whole pool with it."""
    running: dict[Future[Done | CovidXrayError], Part] = {}
    try:
        while True:
            while len(running) < depth and (part := waiting.pop() if waiting else next(parts, None)):
                attempts[part.number] = attempts.get(part.number, 0) + 1
                try:
                    running[pool.submit(_answer, part, attempts[part.number])] = part
                except BrokenProcessPool:
                    waiting.append(part)
                    raise
            if not running:
                return
            finished, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                done = future.result()
                attempts.pop(running.pop(future).number)
                yield done
    except BrokenProcessPool:
        waiting += running.values()
        raise


def _pool(count: int, work: Work) -> ProcessPoolExecutor:
    # Spawned, not forked: ONNX Runtime and pyarrow have threads, which a fork would cut off.
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(count, mp_context=context, initializer=_open, initargs=(work, os.getpid()))


def _open(work: Work, parent: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends us
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    _WORKER.append(Worker(work))


def _answer(part: Part, attempt: int) -> Done | CovidXrayError:
    return _WORKER[0].answer(part, attempt=attempt)


def _end_with(parent: int) -> None:
    """End when the parent was killed: nobody would ask us for anything."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _end(pool: ProcessPoolExecutor) -> None:
    """End the workers at once, whatever they are at: what they have not handed over counts for nothing."""
    processes = list((pool._processes or {}).values())
    pool.shutdown(wait=False, cancel_futures=True)
    for process in processes:
        with contextlib.suppress(OSError, ValueError):
            process.kill()
    for process in processes:
        with contextlib.suppress(OSError, ValueError, AssertionError):
            process.join(timeout=10)


def _dying(times: int) -> CovidXrayError:
    return CovidXrayError(
        f"expected workers that live. Received: {times} times in a row one that died; there may be too little memory, "
        "and --workers 1 needs less",
        code="worker-died",
    )
