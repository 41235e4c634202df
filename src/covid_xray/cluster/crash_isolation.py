"""Score a partition whose inputs crash workers, isolating it in child processes.

The child reports each input before it decodes it. When it dies, that input is suspected and the next child repeats its
batch; an input at which three children died fails with the code `gave-up`.
"""

import collections
import contextlib
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any, BinaryIO

from covid_xray.cluster.partition_scorer import PartitionScorer, ScoredBatch, ScoringSetup
from covid_xray.cluster.plan import Partition
from covid_xray.errors import CovidXrayError
from covid_xray.inference.io.crash_journal import TRIES

ISOLATE_FROM = 3  # try of a partition; before that its worker may have died for any reason


def score_isolated(setup: ScoringSetup, part: Partition) -> Iterator[ScoredBatch]:
    """Yield the batches of a partition, whatever its inputs do to the child that scores them.

    Raises `CovidXrayError` when children die before they begin an input (`worker-died`), or what the child raised.
    """
    deaths: collections.Counter[str] = collections.Counter()
    alone: set[int] = set()
    done = fruitless = 0
    while True:
        suspect = None
        given_up = {name for name, count in deaths.items() if count >= TRIES}
        for kind, value in _run_child(setup, part, begin=done, alone=alone, given_up=given_up):
            if kind == "begin":
                suspect = value
            elif kind == "batch":
                done, suspect = done + 1, None
                yield value
            elif kind == "error":
                raise value
            else:
                return
        if suspect:
            deaths[suspect] += 1
        elif suspect == "":  # it died in the network, because of any input of the batch
            alone.add(done)
        fruitless = fruitless + 1 if suspect is None else 0
        if fruitless >= TRIES:
            problem = f"{fruitless} workers in a row died before they began an input. There may be too little memory."
            raise CovidXrayError(problem, code="worker-died")


def _run_child(setup: ScoringSetup, part: Partition, **options: Any) -> Iterator[tuple[str, Any]]:
    """Yield the messages of one child until it ends or dies; `options` are those of `PartitionScorer.score_batches`."""
    command = [sys.executable, "-P", "-m", "covid_xray.cluster.crash_isolation"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        try:
            with contextlib.suppress(BrokenPipeError):
                pickle.dump((setup, part, options), process.stdin)
                process.stdin.flush()
            with contextlib.suppress(EOFError, pickle.UnpicklingError):
                while True:  # the messages come from our own child
                    yield pickle.load(process.stdout)  # noqa: S301  # nosec B301
        finally:
            process.kill()
            with contextlib.suppress(BrokenPipeError):  # closing flushes what a child that died did not read
                process.stdin.close()


def run_child(inbox: BinaryIO, outbox: BinaryIO) -> None:
    """Score one partition in the child process."""
    setup, part, options = pickle.load(inbox)  # from our parent  # noqa: S301  # nosec B301
    threading.Thread(target=_exit_with_parent, args=(inbox,), daemon=True).start()

    def report(kind: str, value: Any = None) -> None:
        pickle.dump((kind, value), outbox)
        outbox.flush()

    try:
        for batch in PartitionScorer(setup).score_batches(part, note=lambda name: report("begin", name), **options):
            report("batch", batch)
        report("end")
    except CovidXrayError as error:
        report("error", error)


def _exit_with_parent(inbox: BinaryIO) -> None:
    inbox.read(1)  # returns when the parent ends, which holds the other end of the pipe
    os._exit(1)


if __name__ == "__main__":
    run_child(sys.stdin.buffer, sys.stdout.buffer)
