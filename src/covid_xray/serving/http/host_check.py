"""Refuse requests whose Host header is not a name of this server, while it needs no login.

This stops DNS rebinding: a page of another site, whose name was made to resolve to this machine, sends its own Host.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers

from covid_xray.errors import CovidXrayError
from covid_xray.serving.http.access import is_loopback, login_required
from covid_xray.serving.http.problems import problem


class HostCheck:
    """ASGI middleware that answers other Host names with 421 (`wrong-host`)."""

    def __init__(self, app: Callable[..., Awaitable[None]]) -> None:
        self.app = app

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        """Handle one request."""
        if scope["type"] != "http" or _is_own_name(scope):
            await self.app(scope, receive, send)
            return
        message = "This server is not known under that Host name. Use the address that it printed at its start."
        await problem(421, "wrong-host", message)(scope, receive, send)


def _is_own_name(scope: MutableMapping[str, Any]) -> bool:
    service = getattr(scope["app"].state, "service", None) if "app" in scope else None
    if service is None:
        return True
    headers = Headers(scope=scope)
    try:
        name = urlsplit(f"//{headers.get('host', '')}").hostname or ""
        return is_loopback(name) or name == service.settings.host or login_required(service, headers)
    except ValueError:  # half an IPv6 address
        return False
    except CovidXrayError:  # the route answers with 503
        return True
