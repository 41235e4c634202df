"""Score partitions with worker processes on this machine; replace workers that die and retry their partitions."""

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool

from covid_xray.cluster.crash_isolation import ISOLATE_FROM
from covid_xray.cluster.partition_scorer import ScoredPartition, ScoringSetup
from covid_xray.cluster.plan import Partition
from covid_xray.cluster.worker import Worker
from covid_xray.errors import CovidXrayError

STARTS = 3  # pools in a row that die without a finished partition although each was isolated
_WORKER: list[Worker] = []  # of this process


def score_partitions(
    parts: Iterator[Partition], setup: ScoringSetup, *, workers: int = 0
) -> Iterator[ScoredPartition | CovidXrayError]:
    """Yield the scored partitions as they finish; `workers` is the number of processes, 0 for one per core.

    Raises `CovidXrayError` when workers die again and again (`worker-died`).
    """
    count = workers or os.cpu_count() or 1
    attempts: dict[int, int] = {}
    waiting: list[Partition] = []  # left by a worker that died
    fruitless = 0
    while True:
        pool = _pool(count, setup)
        try:
            for done in _run_pool(pool, parts, waiting, attempts, depth=2 * count):
                fruitless = 0
                yield done
            return
        except BrokenProcessPool:
            fruitless += 1
            if fruitless >= ISOLATE_FROM + STARTS:
                problem = f"Workers died {fruitless} times in a row. There may be too little memory: try --workers 1."
                raise CovidXrayError(problem, code="worker-died") from None
        finally:
            _kill(pool)


def _run_pool(
    pool: ProcessPoolExecutor,
    parts: Iterator[Partition],
    waiting: list[Partition],
    attempts: dict[int, int],
    *,
    depth: int,
) -> Iterator[ScoredPartition | CovidXrayError]:
    """Yield what one pool finishes; when a worker dies the pool breaks, and `waiting` gets what it had."""
    running: dict[Future[ScoredPartition | CovidXrayError], Partition] = {}
    try:
        while True:
            while len(running) < depth and (part := waiting.pop() if waiting else next(parts, None)):
                attempts[part.number] = attempts.get(part.number, 0) + 1
                try:
                    running[pool.submit(_score, part, attempts[part.number])] = part
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


def _pool(count: int, setup: ScoringSetup) -> ProcessPoolExecutor:
    # Not forked: the threads of ONNX Runtime and pyarrow do not survive a fork.
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(count, mp_context=context, initializer=_start_worker, initargs=(setup, os.getpid()))


def _start_worker(setup: ScoringSetup, parent: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C and ends the workers
    threading.Thread(target=_exit_with_parent, args=(parent,), daemon=True).start()
    _WORKER.append(Worker(setup))


def _score(part: Partition, attempt: int) -> ScoredPartition | CovidXrayError:
    return _WORKER[0].score(part, attempt=attempt)


def _exit_with_parent(parent: int) -> None:
    """Exit when the parent was killed."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _kill(pool: ProcessPoolExecutor) -> None:
    """Kill the workers at once; unfinished partitions are discarded."""
    processes = list((pool._processes or {}).values())
    pool.shutdown(wait=False, cancel_futures=True)
    for process in processes:
        with contextlib.suppress(OSError, ValueError):
            process.kill()
    for process in processes:
        with contextlib.suppress(OSError, ValueError, AssertionError):
            process.join(timeout=10)
