"""Settings and a predictor in, a listening process out, until it is told to stop.

Who is reachable from elsewhere must know their users: without a user or a token only a loopback address is served.
"""

import contextlib
import logging
import socket
from collections.abc import Callable
from types import FrameType

import uvicorn

from covid_xray.config import Serving
from covid_xray.errors import UsageError
from covid_xray.files import folder_lock
from covid_xray.inference.predictor import Predictor
from covid_xray.serving.app import create_app
from covid_xray.serving.http.access import is_loopback
from covid_xray.serving.http.timeouts import PatientProtocol
from covid_xray.store.accounts import Accounts
from covid_xray.store.store import open_database

_BACKLOG = 2048


def serve(settings: Serving, predictor: Predictor, *, ready: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM; requests under way are answered first.

    Args:
        settings: where, and for whom.
        predictor: answers.
        ready: told the address when the port is bound.

    Raises:
        UsageError: an address that others reach without a user or token; an address that is taken; half of a
            certificate; a database that is none.
        Busy: another process serves from this store, or the database does not answer.
    """
    check_settings(settings)
    with _listen(settings) as listener:
        config = uvicorn.Config(
            create_app(settings, predictor),
            http=PatientProtocol,
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,  # its lines hold what was searched for; ours are of serving.shields
            server_header=False,
            proxy_headers=settings.public_url is not None,
            timeout_graceful_shutdown=settings.shutdown_seconds,
            ssl_certfile=settings.certificate,
            ssl_keyfile=settings.key,
        )
        ready(address(settings, listener))
        _Server(config).run(sockets=[listener])


class _Server(uvicorn.Server):
    """uvicorn's server, which ends well when it is told to end, where uvicorn kills itself by the signal once more."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop; the second Ctrl-C stops at once."""
        super().handle_exit(sig, frame)
        self._captured_signals.clear()


def check_settings(settings: Serving) -> None:
    """Raises what `serve` raises, before anything is served."""
    if (settings.certificate is None) != (settings.key is None):
        raise UsageError("expected a certificate and its key. Received: one of the two")
    folder = settings.store.expanduser()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with folder_lock(folder), contextlib.closing(open_database(settings)) as database:
        known = settings.token is not None or bool(Accounts(database).all())
    if not known and not is_loopback(settings.host):
        raise UsageError(
            f"expected a user or a token before others may reach the server. Received: --host {settings.host} with "
            "neither; add one with `covid-xray user add NAME`, or set COVID_XRAY_TOKEN"
        )


def address(settings: Serving, listener: socket.socket) -> str:
    """What to type into a browser."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    scheme = "https" if settings.certificate else "http"
    return settings.public_url or f"{scheme}://{host}:{listener.getsockname()[1]}"


def set_up_logging(level: str) -> None:
    """Log to standard error from `level` on; other packages only from WARNING on."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s %(message)s", level=logging.WARNING)
    logging.getLogger("covid_xray").setLevel(level.upper())
    logging.getLogger("uvicorn").setLevel(max(logging.INFO, logging.getLevelName(level.upper())))


def _listen(settings: Serving) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family, backlog=_BACKLOG)
    except (OSError, OverflowError):
        raise UsageError(
            f"expected an address that is free and of this machine. Received: --host {settings.host} "
            f"--port {settings.port}"
        ) from None
