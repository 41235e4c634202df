"""Score partitions with Ray Data: a pool of actors with one ONNX session each, on any number of nodes.

Ray repeats the partitions of nodes and workers that die. A counter of tries per partition finds those that crash
workers, which are then isolated.
"""

import contextlib
import logging
import pickle
import zlib
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from covid_xray.cluster.extras import require_module
from covid_xray.cluster.partition_scorer import ScoredPartition, ScoringSetup
from covid_xray.cluster.plan import Partition
from covid_xray.cluster.ray_session import connect, differences, versions
from covid_xray.cluster.worker import Worker
from covid_xray.errors import CovidXrayError

WORKER_BYTES = 512 << 20  # of an actor beside the network: interpreter, decoder, prefetched files
COPIES = 3  # of the network in memory while a session is opened
MAX_ACTORS = 1024  # where the number of cores decides


def score_partitions(
    parts: Iterator[Partition], setup: ScoringSetup, *, address: str | None = None, workers: int = 0
) -> Iterator[ScoredPartition | CovidXrayError]:
    """Yield the scored partitions as they finish.

    `workers` is the number of actors of one core, 0 for one per core of the cluster, also of nodes that join later.

    Raises:
        CovidXrayError: of `ray_session.connect`; or the cluster was lost (`lost-cluster`).
    """
    with connect(address, cpus=workers) as ray:
        waiting = [{"number": part.number, "part": zlib.compress(pickle.dumps(part))} for part in parts]
        if not waiting:
            return
        through_client = require_module("ray.util.client").ray.is_connected()
        try:
            for done in _relay_rows(ray, waiting, setup, workers) if through_client else _rows(waiting, setup, workers):
                yield pickle.loads(done)  # from our workers  # noqa: S301  # nosec B301
        except ray.exceptions.RayError as error:
            problem = f"The cluster was lost ({type(error).__name__}). Run the same command with --resume to continue."
            raise CovidXrayError(problem, code="lost-cluster") from None


def _rows(waiting: list[dict[str, Any]], setup: ScoringSetup, workers: int) -> Iterator[bytes]:
    return (row["done"] for row in _dataset(require_module("ray"), waiting, setup, workers).iter_rows())


def _relay_rows(ray: Any, waiting: list[dict[str, Any]], setup: ScoringSetup, workers: int) -> Iterator[bytes]:
    """Yield the rows through ray://, which cannot run Ray Data: an actor inside the cluster runs it."""
    relay = ray.remote(num_cpus=0)(Relay).remote(waiting, setup, workers)
    pending = relay.next_partition.remote()
    while (done := ray.get(pending)) is not None:
        pending = relay.next_partition.remote()
        yield done


def _dataset(ray: Any, waiting: list[dict[str, Any]], setup: ScoringSetup, workers: int) -> Any:
    data = require_module("ray.data")
    _silence(data)
    pool = _pool(data, ray, len(waiting), workers)  # Ray Data restarts actors and their tasks without limit
    counter = ray.remote(num_cpus=0, max_restarts=-1)(TryCounter).options(**_on_this_node(ray)).remote()
    memory = WORKER_BYTES + COPIES * setup.bytes
    return data.from_items(waiting, override_num_blocks=len(waiting)).map_batches(
        RayWorker,
        batch_size=1,
        batch_format="pyarrow",
        compute=pool,
        fn_constructor_args=(ray.put(setup), counter, versions()),
        num_cpus=1,
        memory=memory,
    )


def _pool(data: Any, ray: Any, waiting: int, workers: int) -> Any:
    if workers:
        return data.ActorPoolStrategy(size=min(workers, waiting))
    cores = int(ray.cluster_resources().get("CPU", 1))
    return data.ActorPoolStrategy(
        min_size=1, max_size=min(MAX_ACTORS, waiting), initial_size=max(1, min(cores, waiting))
    )


def _on_this_node(ray: Any) -> dict[str, Any]:
    """Return options that place an actor on the driver's node, which exists as long as the run."""
    strategies = require_module("ray.util.scheduling_strategies")
    with contextlib.suppress(Exception):  # not known through ray://
        node = ray.get_runtime_context().get_node_id()
        return {"scheduling_strategy": strategies.NodeAffinitySchedulingStrategy(node, soft=True)}
    return {}


def _silence(data: Any) -> None:
    context = data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    for name in ("ray.data", "ray"):
        logging.getLogger(name).setLevel(logging.ERROR)


class TryCounter:
    """Count how often each partition was begun, over all workers."""

    def __init__(self) -> None:
        self._begun: dict[int, int] = {}

    def begin(self, number: int) -> int:
        """Return the number of this try, from 1."""
        self._begun[number] = self._begun.get(number, 0) + 1
        return self._begun[number]


class Relay:
    """Run Ray Data inside the cluster for a driver outside of it."""

    def __init__(self, waiting: list[dict[str, Any]], setup: ScoringSetup, workers: int) -> None:
        self._rows = _rows(waiting, setup, workers)

    def next_partition(self) -> bytes | None:
        """Return the next scored partition; `None` after the last."""
        return next(self._rows, None)


class RayWorker:
    """One actor of the pool. It returns errors instead of raising them, so that Ray does not retry."""

    def __init__(self, setup: Any, counter: Any, expected: Mapping[str, str]) -> None:
        ray = require_module("ray")
        self._begin = partial(_begin, ray, counter)
        self._worker: Worker | CovidXrayError
        other = differences(expected, versions())  # this node may have joined after the check of versions
        try:
            if other:
                raise CovidXrayError(f"A node has other versions: {'; '.join(other)}.", code="other-versions")
            self._worker = Worker(ray.get(setup) if isinstance(setup, ray.ObjectRef) else setup)
        except CovidXrayError as error:
            self._worker = error

    def __call__(self, batch: Any) -> Any:
        """Score the partition of a batch of one."""
        pa = require_module("pyarrow")
        done = [self._score(packed) for packed in batch.column("part").to_pylist()]
        return pa.table({"number": batch.column("number"), "done": pa.array(done, type=pa.large_binary())})

    def _score(self, packed: bytes) -> bytes:
        if isinstance(self._worker, CovidXrayError):
            return pickle.dumps(self._worker)
        part: Partition = pickle.loads(zlib.decompress(packed))  # from our driver  # noqa: S301  # nosec B301
        return pickle.dumps(self._worker.score(part, attempt=self._begin(part.number)))


def _begin(ray: Any, counter: Any, number: int) -> int:
    try:
        return int(ray.get(counter.begin.remote(number), timeout=30))
    except ray.exceptions.RayError:  # the counter died with its node
        return 1
