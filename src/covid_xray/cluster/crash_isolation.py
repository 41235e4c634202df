"""A partition at which workers die in, its answers out all the same: it is answered in a child that may die.

The child says which input it begins before it decodes it. When it dies, that input is under suspicion and the next
child goes on with its batch; an input at which three children died fails with the code `gave-up`, and no other does.
The third try of a partition comes here, whoever runs it. Who kills workers at random costs a few seconds, no answer.
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

from covid_xray.cluster.partition_scorer import Chunk, Scorer, Work
from covid_xray.cluster.plan import Part
from covid_xray.errors import CovidXrayError
from covid_xray.inference.io.crash_journal import TRIES

FROM_TRY = 3  # of a partition; before that its worker may have died of anything


def chunks(work: Work, part: Part) -> Iterator[Chunk]:
    """The chunks of `part`, whatever its inputs do to who answers them.

    Raises:
        CovidXrayError: the child does not live long enough to begin an input (`worker-died`), or what it raised.
    """
    deaths: collections.Counter[str] = collections.Counter()
    alone: set[int] = set()
    done = fruitless = 0
    while True:
        suspect = None
        given_up = {name for name, count in deaths.items() if count >= TRIES}
        for kind, value in _child(work, part, begin=done, alone=alone, given_up=given_up):
            if kind == "begin":
                suspect = value
            elif kind == "chunk":
                done, suspect = done + 1, None
                yield value
            elif kind == "error":
                raise value
            else:
                return
        if suspect:
            deaths[suspect] += 1
        elif suspect == "":  # it died in the network, on any input of the batch
            alone.add(done)
        fruitless = fruitless + 1 if suspect is None else 0
        if fruitless >= TRIES:
            raise CovidXrayError(
                f"expected a worker that lives. Received: {fruitless} that died before they began an input; "
                "there may be too little memory",
                code="worker-died",
            )


def _child(work: Work, part: Part, **how: Any) -> Iterator[tuple[str, Any]]:
    """What one child says until it ends; nothing more when it dies. `how` is for `Scorer.chunks`."""
    command = [sys.executable, "-P", "-m", "covid_xray.cluster.crash_isolation"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        try:
            with contextlib.suppress(BrokenPipeError):
                pickle.dump((work, part, how), process.stdin)
                process.stdin.flush()
            # Ours alone is at the other end: what it sends is no file from outside.
            with contextlib.suppress(EOFError, pickle.UnpicklingError):
                while True:
                    yield pickle.load(process.stdout)  # noqa: S301  # nosec B301
        finally:
            process.kill()


def serve(inbox: BinaryIO, outbox: BinaryIO) -> None:
    """The child's life: one partition, then the end."""
    work, part, how = pickle.load(inbox)  # from our parent  # noqa: S301  # nosec B301
    threading.Thread(target=_end_with, args=(inbox,), daemon=True).start()

    def say(kind: str, value: Any = None) -> None:
        pickle.dump((kind, value), outbox)
        outbox.flush()

    try:
        for chunk in Scorer(work).chunks(part, note=lambda name: say("begin", name), **how):
            say("chunk", chunk)
        say("end")
    except CovidXrayError as error:
        say("error", error)


def _end_with(inbox: BinaryIO) -> None:
    """End when the parent does: it holds the other end of the pipe."""
    inbox.read(1)
    os._exit(1)


if __name__ == "__main__":
    serve(sys.stdin.buffer, sys.stdout.buffer)
