"""Fixtures that all tests share."""

import functools
import os
import secrets
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# Why a test may skip in continuous integration, where every package is installed. Anything else fails the run.
MAY_SKIP = (
    *("the real radiographs", "a small disk cannot be mounted", "an empty line is no row", "names in one step"),
    *("cannot be had from the registry", "this processor has no bfloat16"),
    *("SCIPY_ARRAY_API is not set", "CXRClassifier is non deterministic"),  # said by scikit-learn's own checks
)
RAY = ("import ray", "support.clusters", '"ray"', "need_ray")  # in the files of tests that start Ray
SKIPPED: list[str] = []


def pytest_configure() -> None:
    # On a busy machine the first inputs take long, above all where they import something.
    settings.register_profile("house", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("house")
    # A shell that starts the tests in the background (`make test &`) lets every child ignore Ctrl-C, which is tested.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """For several processes (`-n 2`): a file stays in one of them, and all that runs Ray in one.

    `--dist loadgroup` would do, but pytest-xdist 3.8 writes the groups where pytest 9.2 no longer reads them.
    """
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            name = nodeid.partition("::")[0]
            return "ray" if contains(config.rootpath / name, *RAY) else name

        def schedule(self) -> None:
            super().schedule()
            for scope in list(self.workqueue):  # the longest first, so that no process waits for the other at the end
                if scope == "ray" or contains(config.rootpath / scope, "mark.slow"):
                    self.workqueue.move_to_end(scope, last=False)

    return ByFile(config, log)


@functools.cache
def contains(path: Path, *words: str) -> bool:
    text = path.read_text(encoding="utf-8")
    return any(word in text for word in words)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    note_skip(report)
    if report.failed and os.environ.get("COVID_XRAY_CI") and not os.environ.get("PYTEST_XDIST_WORKER"):
        # At once, since a run that is cut off prints no summary.
        print(f"\nFAILED {report.nodeid} ({report.when})\n{report.longreprtext}", file=sys.__stderr__, flush=True)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    note_skip(report)


def note_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Remember what skipped without leave."""
    if report.skipped and not hasattr(report, "wasxfail"):
        reason = str(report.longrepr[2]) if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if not any(known in reason for known in MAY_SKIP):
            SKIPPED.append(f"{report.nodeid}: {reason}")


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """What one of several processes (`-n 2`) skipped while it collected; the rest it has reported already."""
    SKIPPED.extend(text for text in getattr(node, "workeroutput", {}).get("skipped", ()) if text not in SKIPPED)


def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["skipped"] = SKIPPED
    elif os.environ.get("COVID_XRAY_CI") and SKIPPED:
        print("\nTests were skipped that must run here:", *SKIPPED, sep="\n")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--data", default=os.environ.get("COVID_XRAY_DATA"), help="folder of the real radiographs")


@pytest.fixture(scope="session")
def real_data(request: pytest.FixtureRequest) -> Path:
    folder = request.config.getoption("--data")
    if not folder or not (Path(folder) / "metadata.csv").is_file():
        pytest.skip("the real radiographs are not here: give their folder with --data")
    return Path(folder)


@pytest.fixture(scope="session")
def postgresql_cluster() -> Iterator[str]:
    """The URL of a PostgreSQL server that runs while the tests do."""
    from support import postgresql

    if postgresql.programs() is None:
        pytest.skip(postgresql.MISSING)
    with postgresql.cluster() as url:
        yield url


@pytest.fixture
def postgresql(postgresql_cluster: str) -> str:
    """The URL of a fresh, empty database."""
    import psycopg

    name = f"t{secrets.token_hex(6)}"
    with psycopg.connect(postgresql_cluster, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return postgresql_cluster.replace("/postgres?", f"/{name}?")
