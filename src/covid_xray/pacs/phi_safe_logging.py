"""Keep patient data out of logs and errors: DICOM libraries put tag values into warnings, log lines and exceptions."""

import contextlib
import logging
import threading
from collections.abc import Iterator

import pydicom

from covid_xray.errors import BadImage, CovidXrayError
from covid_xray.images.decode import contained

_LOGGERS = ("highdicom", "pynetdicom", "dicomweb_client", "dicomanonymizer", "urllib3")


class _Unvalidated:
    """Turn pydicom's value validation off while any thread is inside; pydicom's own switch is not thread-safe."""

    def __init__(self) -> None:
        self._lock, self._inside, self._switch = threading.Lock(), 0, contextlib.ExitStack()

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._switch.enter_context(pydicom.config.disable_value_validation())
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._switch.close()


_unvalidated = _Unvalidated()


def silence_libraries() -> None:
    """Silence the loggers of the DICOM libraries for the rest of the process."""
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)


def log_thread_failures() -> None:
    """Log an uncaught exception of a thread by its type only; its text may hold patient data."""

    def log(failure: threading.ExceptHookArgs) -> None:
        logging.getLogger("covid_xray.pacs").error("a thread ended (%s)", failure.exc_type.__name__)

    threading.excepthook = log


@contextlib.contextmanager
def suppress_phi(problem: str) -> Iterator[None]:
    """Accept invalid tag values in the block, and replace exceptions of libraries by one without patient data.

    Args:
        problem: what it means when the block fails, as a sentence without a full stop.

    Raises:
        BadImage: `unusable-tags`, in place of any exception of a library.
    """
    silence_libraries()
    refusal: CovidXrayError | None = None
    with contained(), _unvalidated:
        try:
            yield
        except (CovidXrayError, OSError, MemoryError):
            raise
        except Exception as error:  # libraries raise nearly every type there is
            refusal = BadImage(f"{problem} ({type(error).__name__}).", code="unusable-tags")
    if refusal:
        raise refusal from None
