"""A running Ray in reach, or started here: connected quietly, without dashboard and without reports to its makers.

Every way in which that fails is one clear message. Nodes of other versions are refused before the first answer, since
they could give other answers.
"""

import contextlib
import logging
import os
import platform
import socket
import sys
import tempfile
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from covid_xray.cluster.extras import need
from covid_xray.errors import CovidXrayError, MissingPackage, UsageError

CONNECT_SECONDS = 5.0
# Calls of Ray's own that any head node and any ray:// server knows.
HEAD_CALL, CLIENT_CALL = "/ray.rpc.NodeInfoGcsService/CheckAlive", "/ray.rpc.RayletDriver/ClusterInfo"
STARTS = 3  # tries to start Ray on this machine
PACKAGES = ("covid-xray", "onnxruntime", "numpy", "pyarrow", "ray")
# Set before Ray is imported, and handed to the processes that it starts.
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",  # of its C++ side, which writes to our standard error
    "RAY_AIR_NEW_OUTPUT": "0",  # boxes and tables of Ray Tune on our standard output
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",  # what it would print to our standard output: workers that died, and why
}


class Unreachable(CovidXrayError):
    """No cluster answers at the address."""

    default_code = "unreachable-cluster"


class OtherVersions(CovidXrayError):
    """Driver and workers are not of one version."""

    default_code = "other-versions"


@contextlib.contextmanager
def connected(address: str | None = None, *, cpus: int = 0) -> Iterator[Any]:
    """Ray, connected; disconnected at the end, and stopped where it was started here.

    Args:
        address: `auto`, HOST:PORT or ray://HOST:PORT; `None` starts one on this machine for as long as it is needed.
        cpus: of one that is started here; 0 for all.

    Raises:
        MissingPackage: Ray is not installed.
        UsageError: an address of no known form.
        Unreachable: nothing answers there.
        OtherVersions: another Ray or Python there, or nodes with other packages.
    """
    os.environ.update(QUIET)
    if address not in (None, "local"):
        knock(address)
        # Before Ray is imported, which looks for a token only where it starts a cluster. With a token, in a cluster
        # that uses none, actors vanish.
        if "RAY_AUTH_MODE" not in os.environ:
            os.environ["RAY_AUTH_MODE"] = "token" if _wants_token(str(address)) else "disabled"
    ray = need("ray")
    if ray.is_initialized():  # the caller's own, such as a test's
        check_versions(ray)
        yield ray
        return
    _init(ray, address, cpus)
    try:
        check_versions(ray)
        yield ray
    finally:
        ray.shutdown()


def _wants_token(address: str) -> bool:
    """Whether the cluster there asks for a token. Raises `Unreachable` when it does and this machine has none."""
    grpc = need("grpc")
    where = _here() if address == "auto" else address
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
                raise Unreachable(
                    f"expected the token of the cluster at {address} in RAY_AUTH_TOKEN or ~/.ray/auth_token. "
                    "Received: none"
                ) from None
            return True
    return False


def _here() -> str:
    """Where `auto` finds the cluster of this machine, by what Ray writes down; empty when it wrote down nothing."""
    with contextlib.suppress(OSError):
        folder = os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or tempfile.gettempdir()
        return os.environ.get("RAY_ADDRESS") or (Path(folder) / "ray" / "ray_current_cluster").read_text().strip()
    return ""


def _is_somewhere_here() -> bool:
    """Whether a head of Ray runs on this machine all the same; true where processes cannot be looked at."""
    processes = list(Path("/proc").glob("[0-9]*/cmdline"))
    for path in processes:
        with contextlib.suppress(OSError):
            if b"gcs_server" in path.read_bytes():
                return True
    return not processes


def _has_token() -> bool:
    """Whether this machine holds the token of a cluster, which newer versions of Ray ask for."""
    named = os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH")
    return bool(named) or (Path.home() / ".ray" / "auth_token").is_file()


def versions() -> dict[str, str]:
    """What answers depend on, in this process: package to version."""
    found = {"python": ".".join(platform.python_version_tuple()[:2])}
    for name in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def differences(ours: Mapping[str, str], theirs: Mapping[str, str]) -> list[str]:
    """What is not the same, as `package 1.0 there, 2.0 here`."""
    names = [name for name in ours if ours[name] != theirs.get(name)]
    return [f"{name} {theirs.get(name, 'missing')} there, {ours[name]} here" for name in names]


def check_versions(ray: Any) -> None:
    """Ask every node for its versions. Raises `OtherVersions` naming the node and the packages."""
    ours, packages = versions(), PACKAGES

    def probe() -> dict[str, str]:  # by value: a node without covid_xray could not import it by name
        import platform as theirs
        from importlib import metadata as installed

        found = {"python": ".".join(theirs.python_version_tuple()[:2])}
        for name in packages:
            with contextlib.suppress(installed.PackageNotFoundError):
                found[name] = installed.version(name)
        return found

    affinity = need("ray.util.scheduling_strategies").NodeAffinitySchedulingStrategy
    alive = [node for node in ray.nodes() if node["Alive"]]
    task = ray.remote(num_cpus=0, max_retries=2)(probe)
    asked = {n["NodeID"]: task.options(scheduling_strategy=affinity(n["NodeID"], soft=False)).remote() for n in alive}
    for node in alive:
        try:
            theirs = ray.get(asked[node["NodeID"]], timeout=60)
        except ray.exceptions.RayError:  # it left meanwhile, or cannot start a process: Ray goes on without it
            continue
        if other := differences(ours, theirs):
            raise OtherVersions(
                "expected every node to have the versions of this machine. "
                f"Received from {node['NodeManagerHostname']}: {'; '.join(other)}"
            )


def knock(address: str | None) -> None:
    """Try the port: Ray itself would wait for minutes and then end the process. Raises as `connected`."""
    if address in (None, "local"):
        return
    where = _here() if address == "auto" else str(address)
    if not where:
        if _is_somewhere_here():
            return
        raise _unreachable(address)
    host, colon, port = where.removeprefix("ray://").rpartition(":")
    if not colon or not host or not port.isdigit():
        raise UsageError(f"expected --address auto, HOST:PORT or ray://HOST:PORT. Received: {address}")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_SECONDS).close()
    except (OSError, OverflowError):
        raise _unreachable(address) from None
    if not _speaks_grpc(f"{host}:{port}"):
        raise _unreachable(address)


def _speaks_grpc(target: str) -> bool:
    """Whether a server of Ray's kind listens there; true where it cannot be asked."""
    try:
        grpc = need("grpc")
    except MissingPackage:
        return True
    with grpc.insecure_channel(target) as channel:
        try:
            grpc.channel_ready_future(channel).result(timeout=CONNECT_SECONDS)
        except grpc.FutureTimeoutError:
            return False
    return True


def _init(ray: Any, address: str | None, cpus: int) -> None:
    here = address in (None, "local")
    options: dict[str, Any] = {"address": "local" if here else address, "log_to_driver": False}
    options |= {"logging_level": logging.ERROR}
    if here:
        options |= {"include_dashboard": False, "num_cpus": cpus or None}
    for left in reversed(range(STARTS if here else 1)):  # Ray gives its processes half a minute, busy or not
        try:
            with _silent():
                ray.init(**options)
            return
        except (Exception, SystemExit) as error:  # Ray raises what it likes, and ends the process of who waits in vain
            if "ersion" in str(error):  # "Version mismatch: The cluster was started with ..."
                raise OtherVersions(
                    "expected a cluster of the Ray and Python versions of this machine "
                    f"(ray {metadata.version('ray')}, python {platform.python_version()}). Received: others"
                ) from None
            ray.shutdown()
            if not left:
                raise _unreachable(address) from None


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Nothing on standard error, also from C++, which announces there that it will say nothing."""
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
        return Unreachable("expected Ray to start on this machine. Received: it did not; the machine may be too busy")
    return Unreachable(
        f"expected a Ray cluster at {address}. Received: no answer; "
        "`ray status` on its head node says whether it runs, and without --address one is started here"
    )
