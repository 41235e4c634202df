"""Where DICOM libraries run without telling: their warnings, log lines and exceptions hold values of patients."""

import contextlib
import logging
import threading
from collections.abc import Iterator

from covid_xray.errors import BadImage, CovidXrayError
from covid_xray.images.decode import contained

_LOGGERS = ("highdicom", "pynetdicom", "dicomweb_client", "dicomanonymizer", "urllib3")
_SILENT = logging.CRITICAL + 1


class _Unvalidated:
    """pydicom's checks of values off while any thread is inside; its own switch, one a process, forgets overlaps."""

    def __init__(self) -> None:
        self._lock, self._inside, self._switch = threading.Lock(), 0, contextlib.ExitStack()

    def __enter__(self) -> None:
        import pydicom

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


def silence() -> None:
    """Silence the libraries of this room for good; none of their lines is free of values."""
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(_SILENT)


def brief_threads() -> None:
    """For a process of its own: what ends a thread of a library is named by its type, for its text may hold values."""

    def told(thrown: threading.ExceptHookArgs) -> None:
        logging.getLogger("covid_xray.pacs").error("a thread ended (%s)", thrown.exc_type.__name__)

    threading.excepthook = told


@contextlib.contextmanager
def quietly(expected: str) -> Iterator[None]:
    """Values of a file pass as they are, and whatever a library says of them stays inside.

    Args:
        expected: what the block needs, for the message of the refusal.

    Raises:
        BadImage: `unusable-tags`, in place of any exception that is not ours.
    """
    silence()
    refusal: CovidXrayError | None = None
    with contained(), _unvalidated:
        try:
            yield
        except (CovidXrayError, OSError, MemoryError):
            raise
        except Exception as error:  # libraries raise nearly every type there is
            refusal = BadImage(
                f"expected {expected}. Received: an object that no result can be made for ({type(error).__name__})",
                code="unusable-tags",
            )
    if refusal:
        raise refusal from None
