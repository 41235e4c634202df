"""Ray clusters of several nodes on this machine, and what kills parts of them."""

import contextlib
import os
import random
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from covid_xray.cluster.ray_session import QUIET_ENVIRONMENT, STARTS

# Before Ray is imported. Niceness is 15 by default: beside other tests its processes would hardly get a turn.
os.environ.update({**QUIET_ENVIRONMENT, "RAY_worker_niceness": "0"})
# A node that is gone is missed after two seconds instead of half a minute.
HASTY = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 500, "health_check_failure_threshold": 4}


@contextlib.contextmanager
def cluster(nodes: int, **head: Any) -> Iterator[Any]:
    """A head without cores for work and `nodes` nodes of one core each, connected; `head` has further options."""
    import ray
    from ray.cluster_utils import Cluster

    # Without what the agents of a node load for the dashboard they start sooner.
    ray._private.utils.get_dashboard_dependency_error = lambda: ImportError("no dashboard in tests")
    head = {"num_cpus": 0, "include_dashboard": False, "_system_config": HASTY, **head}
    made = Cluster()
    try:
        join(made, **head)
        for _ in range(nodes):
            join(made)
        made.wait_for_nodes()
        ray.init(address=made.address, log_to_driver=False)
        yield made
    finally:
        ray.shutdown()
        made.shutdown()


def kill_worker(draw: random.Random) -> bool:
    """Kill -9 one actor of this test's own cluster; False where none is at work."""
    found = processes_of(b"ray::MapWorker")
    for pid in draw.sample(found, 1) if found else ():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            return True
    return False


def processes_of(name: bytes) -> list[int]:
    """All processes below this one with `name` in their command."""
    return [pid for pid in _below(os.getpid()) if name in _command(pid)]


def join(made: Any, **options: Any) -> None:
    """Another node, of one core unless `options` tell otherwise; the first is the head.

    Ray gives it half a minute to start, and its agents fifteen seconds, which a busy machine may need more of.
    """
    for left in reversed(range(STARTS)):
        try:
            made.add_node(**{"num_cpus": 1, **options})
            return
        except Exception:  # Ray raises nothing more particular
            if not left:
                raise
            if made.head_node is None:  # what is left of this try holds its ports
                for pid in processes_of(b"/ray/"):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)


def remove_node(made: Any, draw: random.Random) -> None:
    """Take one node away with all that is on it, as if its power was cut; another joins."""
    made.remove_node(draw.choice(sorted(made.worker_nodes, key=lambda node: node.node_id)), allow_graceful=False)
    join(made)


def _below(pid: int) -> Iterator[int]:
    """All processes that descend from one."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parent = int(path.read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(path.parent.name))
    waiting = [pid]
    while waiting:
        for child in children.get(waiting.pop(), []):
            yield child
            waiting.append(child)


def _command(pid: int) -> bytes:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""
