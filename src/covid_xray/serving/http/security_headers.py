"""What every response carries so that a browser does nothing for others, and which Host names are answered at all.

A page of another site whose name is made to point at this machine (DNS rebinding) comes with its own Host: it is
refused while whoever sits at the machine has all rights.
"""

import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders

from covid_xray.serving.http.access import is_loopback, locked
from covid_xray.serving.http.problems import problem

_LOG = logging.getLogger("covid_xray.serving.access")
Message = MutableMapping[str, Any]
App = Callable[..., Awaitable[None]]

POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob:",
        "font-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    ]
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # none at all would make a form's Origin "null"
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), interest-cohort=()",
}


class Shield:
    """ASGI middleware around the whole application: Host, headers, counters."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        """One request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begin, status = time.perf_counter(), 500

        async def shielded(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                _add(MutableHeaders(scope=message), scope)
            await send(message)

        try:
            if _answers_to(scope):
                await self.app(scope, receive, shielded)
            else:
                refusal = problem(421, "wrong-host", "expected a Host name of this server. Received: another")
                await refusal(scope, receive, shielded)
        finally:
            _count(scope, status, time.perf_counter() - begin)


def _answers_to(scope: MutableMapping[str, Any]) -> bool:
    service = getattr(scope["app"].state, "service", None) if "app" in scope else None
    if service is None or locked(service):
        return True
    try:
        name = urlsplit(f"//{Headers(scope=scope).get('host', '')}").hostname or ""
    except ValueError:  # half an IPv6 address
        return False
    public = urlsplit(service.settings.public_url or "").hostname
    return is_loopback(name) or name in (service.settings.host, public)


def _add(headers: MutableHeaders, scope: MutableMapping[str, Any]) -> None:
    for name, value in HEADERS.items():
        headers.setdefault(name, value)
    if scope.get("scheme") == "https":
        headers.setdefault("Strict-Transport-Security", "max-age=31536000")
    headers.setdefault("Cache-Control", "no-cache" if scope["path"].startswith("/static/") else "no-store")


def _count(scope: MutableMapping[str, Any], status: int, seconds: float) -> None:
    service = getattr(scope["app"].state, "service", None) if "app" in scope else None
    if service is None:
        return
    route = getattr(scope.get("route"), "path", "unknown")  # the template, never the path with its ids
    route = f"/api/v1{route}" if scope["path"].startswith("/api/v1/") else route
    service.gauges.requests.labels(route, scope["method"], status).inc()
    service.gauges.seconds.labels(route).observe(seconds)
    _LOG.info("%s %s %s %.0f ms", scope["method"], route, status, 1000 * seconds)
