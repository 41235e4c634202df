"""Listen on a port and serve until told to stop; without a user or token only this machine is served."""

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
from covid_xray.serving.http.access import is_loopback, reachable_by_others
from covid_xray.serving.http.timeouts import IdleTimeoutProtocol
from covid_xray.store.accounts import Accounts
from covid_xray.store.passwords import require_good_token
from covid_xray.store.store import open_database

_BACKLOG = 2048


def serve(settings: Serving, predictor: Predictor, *, ready: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM; running requests are answered first.

    Args:
        settings: address, storage and users.
        predictor: the network.
        ready: called with the URL when the port is bound.

    Raises:
        UsageError: a public address without a user or token, a weak token, a port in use, a certificate without its
            key, or an invalid database URL.
        Busy: another process serves this store, or the database does not answer.
    """
    check_settings(settings)
    with _listen(settings) as listener:
        config = uvicorn.Config(
            create_app(settings, predictor),
            http=IdleTimeoutProtocol,
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,  # its lines hold search terms; `prometheus.RequestMetrics` logs instead
            server_header=False,
            proxy_headers=False,  # `create_app` believes `trusted_proxies`
            timeout_graceful_shutdown=settings.shutdown_seconds,
            ssl_certfile=settings.certificate,
            ssl_keyfile=settings.key,
        )
        ready(address(settings, listener))
        _Server(config).run(sockets=[listener])


class _Server(uvicorn.Server):
    """uvicorn's server without its habit of raising the signal again after the shutdown, so that it exits with 0."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop; a second Ctrl-C stops at once."""
        super().handle_exit(sig, frame)
        self._captured_signals.clear()


def check_settings(settings: Serving) -> None:
    """Raise what `serve` raises for these settings, before anything is loaded."""
    if (settings.certificate is None) != (settings.key is None):
        raise UsageError("Certificate and key belong together. Set both `certificate` and `key`, or neither.")
    if settings.token is not None:
        require_good_token(settings.token.get_secret_value())
    folder = settings.store.expanduser()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with folder_lock(folder), contextlib.closing(open_database(settings)) as database:
        known = settings.token is not None or settings.openid is not None or bool(Accounts(database).all())
    if not known and reachable_by_others(settings):
        cause = "public_url" if is_loopback(settings.host) else f"--host {settings.host}"
        raise UsageError(
            f"With {cause} others can reach the server, so it needs a user or a token. Add a user with "
            "`covid-xray user add NAME --role admin`, or set COVID_XRAY_TOKEN."
        )


def address(settings: Serving, listener: socket.socket) -> str:
    """Return the URL to open in a browser."""
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
            f"Cannot listen on --host {settings.host} --port {settings.port}. Choose an address of this machine and a "
            "free port; --port 0 finds one."
        ) from None
