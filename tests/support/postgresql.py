"""A PostgreSQL server of the tests' own: a fresh cluster in a temporary folder, reached by a socket in it."""

import contextlib
import getpass
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

MISSING = "PostgreSQL is not here: scripts/debian_packages.sh installs it"


def programs() -> Path | None:
    """The folder of `initdb` and `pg_ctl`, the newest there is."""
    found = [path.parent for path in sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))]
    on_path = shutil.which("initdb")
    return found[-1] if found else Path(on_path).parent if on_path else None


@contextlib.contextmanager
def cluster() -> Iterator[str]:
    """Run a server; yields the URL of its first database. The server refuses to run as root."""
    data, user = Path(tempfile.mkdtemp(prefix="pg", dir="/tmp")), getpass.getuser()
    prefix: list[str] = []
    if os.geteuid() == 0:
        shutil.chown(data, "postgres")
        prefix, user = ["runuser", "-u", "postgres", "--"], "postgres"
    bin_folder = programs()
    assert bin_folder
    # Nobody crashes here: without fsync a database is made in a tenth of the time.
    options = f"-c listen_addresses= -c unix_socket_directories={data} -c fsync=off -c full_page_writes=off"
    try:
        _run([*prefix, bin_folder / "initdb", "-D", data / "data", "-U", user, "-A", "trust", "--no-sync"])
        _run([*prefix, bin_folder / "pg_ctl", "-D", data / "data", "-w", "-o", options, "-l", data / "log", "start"])
        try:
            yield f"postgresql://{user}@/postgres?host={data}"
        finally:
            _run([*prefix, bin_folder / "pg_ctl", "-D", data / "data", "-w", "-m", "immediate", "stop"])
    finally:
        shutil.rmtree(data, ignore_errors=True)


def _run(command: list[object]) -> None:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, cwd="/", check=False)
    assert done.returncode == 0, done.stdout + done.stderr
