"""Read and hash the file of a network in a thread while the caller imports its modules.

Reading and hashing 100 MB take a tenth of a second or two in which the interpreter is free for other work. This module
imports next to nothing, so that it can start first.
"""

import contextlib
import threading
from pathlib import Path

from covid_xray.files import sha256_bytes


def read_hashed(path: Path) -> tuple[bytes, str]:
    """Read the bytes of a file and compute their SHA-256. Raises `OSError`."""
    data = path.read_bytes()
    return data, sha256_bytes(data)


class ReadAhead:
    """Start to read `path` at once; call it with the path for the result of `read_hashed`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._result: tuple[bytes, str] | None = None
        self._thread = threading.Thread(target=self._read, name="read-ahead", daemon=True)
        self._thread.start()

    def __call__(self, path: Path) -> tuple[bytes, str]:
        """Return the bytes of `path` and their SHA-256. Raises `OSError`."""
        self._thread.join()
        result, self._result = self._result, None  # the bytes are not kept in memory twice
        return result if result and path == self._path else read_hashed(path)

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # the second try, in the caller's thread, raises it
            self._result = read_hashed(self._path)
