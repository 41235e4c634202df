"""Problems in, pages out: who opens an address in a browser reads in words what programs get as problem+json."""

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.datastructures import Headers, MutableHeaders

from covid_xray.serving.views.rendering import bare

_PROBLEM = b"application/problem+json"
_LARGEST = 64 << 10
Message = MutableMapping[str, Any]
App = Callable[..., Awaitable[None]]
# HTTP status to: what has happened, and what to do.
WORDS = {
    400: ("This request cannot be read.", "Go back and try again."),
    401: ("You are not logged in.", "Log in and try again."),
    403: (
        "You may not do this.",
        "If you think you should, ask an admin. If the page was open for long, load it anew.",
    ),
    404: ("There is nothing here.", "The study was deleted, its time is over, or the address is wrong."),
    405: ("This address does not take that.", "Go back and use the buttons of the page."),
    408: ("That took too long to arrive.", "Send it again, over a faster connection."),
    413: ("That is too large.", "Send single images below the limit, or several archives."),
    421: ("This server is not known under that name.", "Open it by the address that it printed when it was started."),
    422: ("Something in this request is not as it should be.", "Go back, change it, and try again."),
    429: ("Too many requests.", "Wait a minute, then load the page anew."),
    503: ("The server is busy.", "Nothing is lost. Wait a moment, then load the page anew."),
    507: ("The store is full.", "Nothing was kept. Delete studies, or ask for more room."),
}
_OTHER = ("Something went wrong.", "Try again. If it does not help, the log of the server says more.")


class ErrorPages:
    """ASGI middleware: a problem becomes a page when a browser asked for one, with the same status and headers."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        """One request."""
        if scope["type"] != "http" or not _wants_page(scope):
            await self.app(scope, receive, send)
            return
        start: Message | None = None
        body = b""

        async def translated(message: Message) -> None:
            nonlocal start, body
            if message["type"] == "http.response.start" and _is_problem(message):
                start = message
                return
            if start is None or message["type"] != "http.response.body":
                await send(message)
                return
            body += message.get("body", b"")
            if message.get("more_body") and len(body) <= _LARGEST:
                return
            page = error_page(start["status"], body).encode()
            await send(_as_page(start, len(page)))
            await send({"type": "http.response.body", "body": page})
            start = None

        await self.app(scope, receive, translated)


def error_page(status: int, problem: bytes) -> str:
    """The page of a problem."""
    try:
        about = json.loads(problem)
    except ValueError:
        about = {}
    title, advice = WORDS.get(status, _OTHER)
    facts = {"status": status, "title": title, "advice": advice}
    return bare("error.html", {**facts, "detail": str(about.get("detail", "")), "code": str(about.get("code", ""))})


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
