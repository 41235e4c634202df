"""Connect to a Ray cluster, or start Ray on this machine: quietly, without dashboard and usage reports.

Nodes with other package versions are refused before the first answer, since they could give other answers.
"""

import contextlib
import logging
import os
import platform
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from covid_xray.cluster.extras import require_module
from covid_xray.errors import CovidXrayError, MissingPackage, UsageError

CONNECT_SECONDS = 5.0
# Calls that any head node and any ray:// server of Ray answers.
HEAD_CALL, CLIENT_CALL = "/ray.rpc.NodeInfoGcsService/CheckAlive", "/ray.rpc.RayletDriver/ClusterInfo"
STARTS = 3  # tries to start Ray on this machine
PACKAGES = ("covid-xray", "onnxruntime", "numpy", "pyarrow", "ray")
# Must be set before Ray is imported; its processes inherit them.
QUIET_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",  # its C++ code writes to our standard error
    "RAY_AIR_NEW_OUTPUT": "0",  # no tables of Ray Tune on standard output
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",  # no reports of dead workers on standard output
}


class Unreachable(CovidXrayError):
    """No cluster answers at the address."""

    default_code = "unreachable-cluster"


class OtherVersions(CovidXrayError):
    """Driver and workers have different versions."""

    default_code = "other-versions"


@contextlib.contextmanager
def connect(address: str | None = None, *, cpus: int = 0) -> Iterator[Any]:
    """Yield Ray, connected; disconnect after the block and stop what was started here.

    Args:
        address: `auto`, HOST:PORT or ray://HOST:PORT; `None` starts Ray on this machine.
        cpus: cores of a Ray started here; 0 for all.

    Raises:
        MissingPackage: Ray is not installed.
        UsageError: an invalid address.
        Unreachable: no cluster answers.
        OtherVersions: another Ray or Python there, or nodes with other packages.
    """
    os.environ.update(QUIET_ENVIRONMENT)
    if address not in (None, "local"):
        check_reachable(address)
        # Set before Ray is imported: with a token, actors vanish in a cluster that uses none.
        if "RAY_AUTH_MODE" not in os.environ:
            os.environ["RAY_AUTH_MODE"] = "token" if _needs_token(str(address)) else "disabled"
    ray = require_module("ray")
    if ray.is_initialized():  # the caller's own, such as a test's
        check_versions(ray)
        yield ray
        return
    _start(ray, address, cpus)
    try:
        check_versions(ray)
        yield ray
    finally:
        ray.shutdown()


def _needs_token(address: str) -> bool:
    """Return whether the cluster needs a token. Raises `Unreachable` when this machine does not have it."""
    grpc = require_module("grpc")
    where = _local_address() if address == "auto" else address
    if not where:
        return _has_token()
    call = CLIENT_CALL if where.startswith("ray://") else HEAD_CALL
    with grpc.insecure_channel(where.removeprefix("ray://")) as channel:
        try:
            channel.unary_unary(call)(b"", timeout=CONNECT_SECONDS)
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.UNAUTHENTICATED:
                return False
            if not _has_token():
                problem = f"The cluster at {address} needs a token. Put it in RAY_AUTH_TOKEN or ~/.ray/auth_token."
                raise Unreachable(problem) from None
            return True
    return False


def _local_address() -> str:
    """Return the address of the cluster on this machine, from Ray's own file; empty without one."""
    with contextlib.suppress(OSError):
        folder = os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or tempfile.gettempdir()
        return os.environ.get("RAY_ADDRESS") or (Path(folder) / "ray" / "ray_current_cluster").read_text().strip()
    return ""


def _has_head_process() -> bool:
    """Return whether a head of Ray runs on this machine; true where processes cannot be listed."""
    processes = list(Path("/proc").glob("[0-9]*/cmdline"))
    for path in processes:
        with contextlib.suppress(OSError):
            if b"gcs_server" in path.read_bytes():
                return True
    return not processes


def _has_token() -> bool:
    """Return whether this machine has a token."""
    named = os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH")
    return bool(named) or (Path.home() / ".ray" / "auth_token").is_file()


def versions() -> dict[str, str]:
    """Return the versions of the packages that answers depend on."""
    return _version_probe()()


def _version_probe() -> Callable[[], dict[str, str]]:
    """Return `versions` as a function that Ray sends by value: a node may not have covid_xray."""
    packages = PACKAGES

    def probe() -> dict[str, str]:
        import platform
        from importlib import metadata

        found = {"python": ".".join(platform.python_version_tuple()[:2])}
        for name in packages:
            with contextlib.suppress(metadata.PackageNotFoundError):
                found[name] = metadata.version(name)
        return found

    return probe


def differences(ours: Mapping[str, str], theirs: Mapping[str, str]) -> list[str]:
    """Return the differences as `package 1.0 there, 2.0 here`."""
    names = [name for name in ours if ours[name] != theirs.get(name)]
    return [f"{name} {theirs.get(name, 'missing')} there, {ours[name]} here" for name in names]


def check_versions(ray: Any) -> None:
    """Compare the versions of every node. Raises `OtherVersions` naming the node and the packages."""
    ours = versions()
    affinity = require_module("ray.util.scheduling_strategies").NodeAffinitySchedulingStrategy
    alive = [node for node in ray.nodes() if node["Alive"]]
    task = ray.remote(num_cpus=0, max_retries=2)(_version_probe())
    asked = {n["NodeID"]: task.options(scheduling_strategy=affinity(n["NodeID"], soft=False)).remote() for n in alive}
    for node in alive:
        try:
            theirs = ray.get(asked[node["NodeID"]], timeout=60)
        except ray.exceptions.RayError:  # it left, or cannot start a process: Ray continues without it
            continue
        if other := differences(ours, theirs):
            raise OtherVersions(
                f"The node {node['NodeManagerHostname']} has other versions: {'; '.join(other)}. Install the same ones."
            )


def check_reachable(address: str | None) -> None:
    """Check the port, since Ray would wait for minutes and then end the process. Raises as `connect`."""
    if address in (None, "local"):
        return
    where = _local_address() if address == "auto" else str(address)
    if not where:
        if _has_head_process():
            return
        raise _unreachable(address)
    host, colon, port = where.removeprefix("ray://").rpartition(":")
    if not colon or not host or not port.isdigit():
        raise UsageError(f"Not an address of Ray: {address}. Give --address auto, HOST:PORT or ray://HOST:PORT.")
    with contextlib.suppress(OSError, OverflowError):
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_SECONDS).close()
        if _speaks_grpc(f"{host}:{port}"):
            return
    raise _unreachable(address)


def _speaks_grpc(target: str) -> bool:
    """Return whether a gRPC server listens there; true without the package to ask it."""
    try:
        grpc = require_module("grpc")
    except MissingPackage:
        return True
    with grpc.insecure_channel(target) as channel:
        try:
            grpc.channel_ready_future(channel).result(timeout=CONNECT_SECONDS)
        except grpc.FutureTimeoutError:
            return False
    return True


def _start(ray: Any, address: str | None, cpus: int) -> None:
    here = address in (None, "local")
    options: dict[str, Any] = {"address": address or "local", "log_to_driver": False, "logging_level": logging.ERROR}
    if here:
        options |= {"include_dashboard": False, "num_cpus": cpus or None}
    for left in reversed(range(STARTS if here else 1)):  # Ray allows its processes half a minute to start
        try:
            with _without_stderr():
                ray.init(**options)
            return
        except (Exception, SystemExit) as error:  # Ray raises anything, also SystemExit after a timeout
            if "ersion" in str(error):  # "Version mismatch: The cluster was started with ..."
                raise OtherVersions(
                    "The cluster has another version of Ray or Python. "
                    f"This machine has ray {metadata.version('ray')}, python {platform.python_version()}."
                ) from None
            ray.shutdown()
            if not left:
                raise _unreachable(address) from None


@contextlib.contextmanager
def _without_stderr() -> Iterator[None]:
    """Discard standard error in the block, also that of C++ code."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _unreachable(address: str | None) -> Unreachable:
    if address in (None, "local"):
        return Unreachable("Ray did not start on this machine. It may be too busy: try again.")
    return Unreachable(
        f"No Ray cluster answers at {address}. Check it with `ray status` on its head node, "
        "or leave out --address to start one here."
    )
