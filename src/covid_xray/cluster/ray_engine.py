"""Partitions in, finished ones out, by Ray Data: a pool of actors with one ONNX session each, on any number of nodes.

Ray Data streams: the plan goes in compressed, one row for each partition; a finished partition comes out as a row of
bytes, and no more are under way than there is room for. What a node or a worker that died had is done again by Ray;
how often a partition was begun is known to a register, so that one at which workers die is answered with care.
"""

import contextlib
import logging
import pickle
import zlib
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from covid_xray.cluster.extras import need
from covid_xray.cluster.partition_scorer import Done, Work
from covid_xray.cluster.plan import Part
from covid_xray.cluster.ray_session import connected, differences, versions
from covid_xray.cluster.worker import Worker
from covid_xray.errors import CovidXrayError

WORKER_BYTES = 512 << 20  # of an actor beside the network: interpreter, decoder, the files that are read ahead
COPIES = 3  # of the network in a session while it is opened
AT_MOST = 1024  # actors, where the cluster decides


def answered(
    parts: Iterator[Part], work: Work, *, address: str | None = None, workers: int = 0
) -> Iterator[Done | CovidXrayError]:
    """The finished partitions in the order in which they get ready.

    Args:
        parts: what is left of the plan.
        work: what they have in common.
        address: of `ray_session.connected`.
        workers: actors of one core each; 0 for one a core of the cluster, also of nodes that join later.

    Raises:
        CovidXrayError: of `ray_session.connected`; or the cluster was lost (`lost-cluster`).
    """
    with connected(address, cpus=workers) as ray:
        waiting = [{"number": part.number, "part": zlib.compress(pickle.dumps(part))} for part in parts]
        if not waiting:
            return
        through_client = need("ray.util.client").ray.is_connected()
        try:
            for done in _relayed(ray, waiting, work, workers) if through_client else _rows(waiting, work, workers):
                yield pickle.loads(done)  # from our own workers  # noqa: S301  # nosec B301
        except ray.exceptions.RayError as error:
            raise CovidXrayError(
                f"expected the cluster to stay until the end. Received: {type(error).__name__}; finished partitions "
                "are kept, and the same command with --resume goes on",
                code="lost-cluster",
            ) from None


def _rows(waiting: list[dict[str, Any]], work: Work, workers: int) -> Iterator[bytes]:
    return (row["done"] for row in _dataset(need("ray"), waiting, work, workers).iter_rows())


def _relayed(ray: Any, waiting: list[dict[str, Any]], work: Work, workers: int) -> Iterator[bytes]:
    """The same through ray://, from where Ray Data cannot be driven: an actor in the cluster drives it for us."""
    relay = ray.remote(num_cpus=0)(Relay).remote(waiting, work, workers)
    coming = relay.following.remote()
    while (done := ray.get(coming)) is not None:
        coming = relay.following.remote()
        yield done


def _dataset(ray: Any, waiting: list[dict[str, Any]], work: Work, workers: int) -> Any:
    data = need("ray.data")
    _be_quiet(data)
    pool = _pool(data, ray, len(waiting), workers)  # Ray Data starts actors anew, and their tasks, without end
    register = ray.remote(num_cpus=0, max_restarts=-1)(Register).options(**_here(ray)).remote()
    memory = WORKER_BYTES + COPIES * len(work.bundle.model)
    return data.from_items(waiting, override_num_blocks=len(waiting)).map_batches(
        RayWorker,
        batch_size=1,
        batch_format="pyarrow",
        compute=pool,
        fn_constructor_args=(ray.put(work), register, versions()),
        num_cpus=1,
        memory=memory,
    )


def _pool(data: Any, ray: Any, waiting: int, workers: int) -> Any:
    if workers:
        return data.ActorPoolStrategy(size=min(workers, waiting))
    cores = int(ray.cluster_resources().get("CPU", 1))
    return data.ActorPoolStrategy(min_size=1, max_size=min(AT_MOST, waiting), initial_size=max(1, min(cores, waiting)))


def _here(ray: Any) -> dict[str, Any]:
    """Options that keep an actor on the driver's node, which lives as long as the run does."""
    strategies = need("ray.util.scheduling_strategies")
    with contextlib.suppress(Exception):  # through ray:// there is no such node
        node = ray.get_runtime_context().get_node_id()
        return {"scheduling_strategy": strategies.NodeAffinitySchedulingStrategy(node, soft=True)}
    return {}


def _be_quiet(data: Any) -> None:
    context = data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    for name in ("ray.data", "ray"):
        logging.getLogger(name).setLevel(logging.ERROR)


class Register:
    """How often each partition was begun, over all workers."""

    def __init__(self) -> None:
        self._begun: dict[int, int] = {}

    def begin(self, number: int) -> int:
        """The number of this try, from 1."""
        self._begun[number] = self._begun.get(number, 0) + 1
        return self._begun[number]


class Relay:
    """Drives Ray Data inside the cluster for a driver outside of it."""

    def __init__(self, waiting: list[dict[str, Any]], work: Work, workers: int) -> None:
        self._rows = _rows(waiting, work, workers)

    def following(self) -> bytes | None:
        """The next finished partition; `None` after the last."""
        return next(self._rows, None)


class RayWorker:
    """One actor of the pool. An error is its answer, so that Ray does not try in vain what cannot succeed."""

    def __init__(self, work: Any, register: Any, expected: Mapping[str, str]) -> None:
        ray = need("ray")
        self._begin = partial(_begin, ray, register)
        self._worker: Worker | CovidXrayError
        other = differences(expected, versions())  # of a node that joined after the others were asked
        try:
            if other:
                raise CovidXrayError(
                    f"expected the driver's versions. Received: {'; '.join(other)}", code="other-versions"
                )
            self._worker = Worker(ray.get(work) if isinstance(work, ray.ObjectRef) else work)
        except CovidXrayError as error:
            self._worker = error

    def __call__(self, batch: Any) -> Any:
        """The finished partitions of a batch of one."""
        pa = need("pyarrow")
        done = [self._answer(packed) for packed in batch.column("part").to_pylist()]
        return pa.table({"number": batch.column("number"), "done": pa.array(done, type=pa.large_binary())})

    def _answer(self, packed: bytes) -> bytes:
        if isinstance(self._worker, CovidXrayError):
            return pickle.dumps(self._worker)
        part: Part = pickle.loads(zlib.decompress(packed))  # of our driver  # noqa: S301  # nosec B301
        return pickle.dumps(self._worker.answer(part, attempt=self._begin(part.number)))


def _begin(ray: Any, register: Any, number: int) -> int:
    try:
        return int(ray.get(register.begin.remote(number), timeout=30))
    except ray.exceptions.RayError:  # the register died with its node: nothing is known of earlier tries
        return 1
