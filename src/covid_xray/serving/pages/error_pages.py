"""Show errors to browsers as pages; programs get problem+json."""

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.datastructures import Headers, MutableHeaders

from covid_xray.serving.views.languages import mark
from covid_xray.serving.views.rendering import render_bare

_PROBLEM = b"application/problem+json"
Message = MutableMapping[str, Any]
# HTTP status to what happened and what to do.
MESSAGES = {
    400: (mark("This request cannot be read."), mark("Go back and try again.")),
    401: (mark("You are not logged in."), mark("Log in and try again.")),
    403: (mark("You may not do this."), mark("Ask an admin. If the page was open for long, reload it.")),
    404: (mark("There is nothing here."), mark("The study was deleted or has expired, or the address is wrong.")),
    405: (mark("This request is not supported here."), mark("Go back and use the buttons of the page.")),
    408: (mark("The upload took too long."), mark("Send it again, over a faster connection.")),
    413: (mark("The upload is too large."), mark("Send single images below the limit, or several archives.")),
    421: (mark("This server is not known under that name."), mark("Open the address that it printed at its start.")),
    422: (mark("A value of this request is invalid."), mark("Go back, change it and try again.")),
    429: (mark("Too many requests."), mark("Wait a minute, then reload the page.")),
    503: (mark("The server is busy."), mark("Nothing is lost. Wait a moment, then reload the page.")),
    507: (mark("The store is full."), mark("Nothing was kept. Delete studies, or ask an admin for more space.")),
}
_OTHER = (mark("Something went wrong."), mark("Try again. If that does not help, look into the log of the server."))


class ErrorPages:
    """ASGI middleware that turns a problem into a page of the same status and headers, for browsers."""

    def __init__(self, app: Callable[..., Awaitable[None]]) -> None:
        self.app = app

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        """Handle one request."""
        if scope["type"] != "http" or not _wants_page(scope):
            await self.app(scope, receive, send)
            return
        start: Message | None = None

        async def send_page(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start" and _is_problem(message):
                start = message
            elif start is not None and message["type"] == "http.response.body":  # a problem is sent in one piece
                page = error_page(start["status"], message["body"]).encode()
                await send(_as_page(start, len(page)))
                await send({"type": "http.response.body", "body": page})
            else:
                await send(message)

        await self.app(scope, receive, send_page)


def error_page(status: int, problem: bytes) -> str:
    """Render the page of a problem."""
    try:
        about = json.loads(problem)
    except ValueError:
        about = {}
    title, advice = MESSAGES.get(status, _OTHER)
    facts = {"status": status, "title": title, "advice": advice}
    return render_bare(
        "error.html", {**facts, "detail": str(about.get("detail", "")), "code": str(about.get("code", ""))}
    )


def _wants_page(scope: MutableMapping[str, Any]) -> bool:
    headers = Headers(scope=scope)
    own = not scope["path"].startswith(("/api/", "/static/"))
    return own and "text/html" in headers.get("accept", "") and "hx-request" not in headers


def _is_problem(message: Message) -> bool:
    return any(key.lower() == b"content-type" and value.startswith(_PROBLEM) for key, value in message["headers"])


def _as_page(start: Message, length: int) -> Message:
    changed = {**start, "headers": list(start["headers"])}
    headers = MutableHeaders(scope=changed)
    headers["content-type"] = "text/html; charset=utf-8"
    headers["content-length"] = str(length)
    return changed
